//! The simulator: real node and store functions under one seed.
