"""Stores elsewhere: the second level behind the folder on this machine. `kind` says what one is; `opening` finds it by its URL.

    s3    a bucket of S3 or of what speaks like it
    oci   a repository of a container registry

Nobody locks. A name says what its bytes are, so two writers write the same; whoever reads hashes. `leases` say what each machine
uses; only `sweeping` deletes: what no lease names and what is older than the grace period. Ages are those that the server tells,
so no machine's clock counts.
"""

from __future__ import annotations
