//! The log on redb: catalog, lanes, rewriter, history, recovery, metadata log.
