//! Compression for record batches: gzip, snappy, lz4, zstd, each under limits.
