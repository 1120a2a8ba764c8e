//! Where are the bytes? Content-addressed blobs, verified before use.
