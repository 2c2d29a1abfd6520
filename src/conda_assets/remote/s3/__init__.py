"""A store in a bucket.

Layout, version 1; what is drawn here is drawn nowhere else:

    s3://<bucket>/<prefix>/
    ├── conda-assets-store.json         {"store": "conda-assets", "version": 1}
    ├── objects/sha256/ab/<hex>         the files; put under the condition that there is none
    ├── aliases/<algorithm>/ab/<hex>    {"sha256": "<hex>"}, for md5, sha1, sha512, blake3
    └── leases/<machine>/<hex>.json     what an environment (or a pushed file) of a machine uses: see `leases`
"""

from __future__ import annotations
