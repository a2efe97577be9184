"""Records of other systems' APIs: page by page into the raw tables, whole or not at all."""
