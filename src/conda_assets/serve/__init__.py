"""The download centre: a page, a queue and a cache that a lab shares, in front of one store and one aria2c.

    page, REST, aria2's RPC → Centre ─┬─ accounts   who may what                       (SQLite)
                                      ├─ Queue      what is to come, in which order    (SQLite; a Board in memory is what is read)
                                      │    └─ one `fetch` a job, all over one Carrier, which has the one engine
                                      ├─ Gate       through which every connection goes, and which lets none into private networks
                                      └─ Store      where files land, verified

Nothing here is imported by another verb: the web framework costs 150 ms.
"""

from __future__ import annotations
