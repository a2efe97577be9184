"""The check of a token that both peers make, as the docs of FastAPI show it."""

import os
from typing import Annotated
from uuid import UUID

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import OAuth2PasswordBearer

SECRET = os.environ["ASSAY_SECRET"]
_CLAIMS = ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"]


async def user_id_of(
    token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="login"))],
) -> UUID:
    try:
        payload = jwt.decode(
            token,
            SECRET,
            algorithms=["HS256"],
            audience="assay api",
            issuer="assay",
            options={"require": _CLAIMS},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    return UUID(payload["sub"])


UserId = Annotated[UUID, Depends(user_id_of)]
