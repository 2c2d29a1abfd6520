"""A store in a bucket of S3 or of what speaks like it: the second level behind the folder on this machine.

Layout, version 1; what is drawn here is drawn nowhere else:

    s3://<bucket>/<prefix>/
    ├── conda-assets-store.json         {"store": "conda-assets", "version": 1}
    ├── objects/sha256/ab/<hex>         the files; put under the condition that there is none
    ├── aliases/<algorithm>/ab/<hex>    {"sha256": "<hex>"}, for md5, sha1, sha512, blake3
    └── leases/<machine>/<hex>.json     what an environment (or a pushed file) of a machine uses: see `leases`

Nobody locks. A name says what its bytes are, so two writers write the same; whoever reads hashes. Only `sweeping` deletes: what
no lease names and what is older than the grace period. Ages are those that the server tells, so no machine's clock counts.
"""

from __future__ import annotations
