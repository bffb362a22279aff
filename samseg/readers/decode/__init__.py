"""Image decoding: the bytes of one file to an upright RGB image.

Everything that decides how a file becomes pixels belongs here; fetching its bytes does not.
`policy` holds the rules and limits, `container` the file formats, `unread` the names of others,
`headers`, `jpeg_segments` and `png_chunks` what is checked or dropped before Pillow sees a file.
`pixels` converts Pillow's modes to 8-bit RGB, `jpeg_2000` and `bmp_masks` what Pillow misreads,
`tiff` the samples of TIFFs, which it finds by `tiff_tags`, `tiff_page`, `tiff_segments` and
`tiff_pictures`; `samples` scales them. `process` carries a policy out in child processes.
"""

from samseg.readers.decode.policy import MAX_BYTES, DecodePolicy, FileDecoder, oversized

__all__ = ["MAX_BYTES", "DecodePolicy", "FileDecoder", "oversized"]
