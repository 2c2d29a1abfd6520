"""The use cases: the one place that knows the order of the stages.

sync      make the disk match the file, or show what that would do; fill the store only
look      what is there, by size and time stamp                   verify   what is there, byte by byte
places    where an asset stands                                   lock     what publishers say, written down

Nothing is imported here: who asks where a file stands does not wait for what could fetch it.
"""
