//! Manifests of directories.
