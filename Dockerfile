# One image for the pipeline and the API; docker-compose.yml says which
# command each container runs.

FROM python:3.11-slim AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# The locked packages are a layer of their own: a change of code keeps it.
WORKDIR /app
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock

# Editable, so that the packages find the dbt project beside them in /app.
# `dbt parse` needs no database; it leaves target/manifest.json in the image.
# The modes of the build context may be private to its owner (umask 077).
COPY . .
RUN pip install --no-deps --no-build-isolation --editable . \
    && dbt parse \
    && python -m compileall -q . \
    && mkdir -p target logs .assay/lake \
    && chmod -R go=rX .


FROM python:3.11-slim AS runtime

LABEL org.opencontainers.image.title="Assay" \
      org.opencontainers.image.description="Raw files in, tested PostgreSQL tables and a secured REST API out" \
      org.opencontainers.image.licenses="MIT"

# The id is fixed, so that volumes keep their owner from image to image.
RUN groupadd --gid 10001 assay \
    && useradd --uid 10001 --gid 10001 --no-create-home \
        --home-dir /app/.assay --shell /usr/sbin/nologin assay

# Code and packages belong to root: the program cannot change itself.
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
RUN chown -R 10001:10001 /app/target /app/logs /app/.assay

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false \
    HOST=0.0.0.0 \
    PORT=8000

WORKDIR /app
USER 10001:10001

# All that is ever written beside /tmp. A volume starts with the image's
# content, so the manifest stays visible under `docker run --read-only`.
VOLUME ["/app/target", "/app/logs", "/app/.assay"]

EXPOSE 8000

HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/live', timeout=4)"]

ENTRYPOINT ["assay"]
CMD ["serve"]
