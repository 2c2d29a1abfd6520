"""A store in a repository of a container registry.

Layout, version 1; what is drawn here is drawn nowhere else. Blobs are the registry's own, by their sha256; a tag leads to a
manifest, and that keeps the registry's collector from its blobs:

    oci://<registry>/<repository>
    ├── :conda-assets-store         no layer; annotation vnd.conda-assets.layout: "1"
    ├── :object-<hex>               one layer: the file with that sha256
    ├── :<algorithm>-<hex>          the same manifest, by another hash of the file; of sha512 the first 96 digits
    └── :lease-<hex>                one layer: a lease, see `leases`; <hex> is of its machine and its holder

A manifest says when the registry took it, by the registry's own clock, in `org.opencontainers.image.created`; that of a file in
whole hours, so that two who push it at the same time write the same manifest.

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md,
https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md
"""

from __future__ import annotations
