//! The JSON schema of operation files, for editors.

use serde_json::Value as Json;

use crate::document::Document;

/// The schema, as JSON Schema 2020-12. It is published as `docs/formats/operation-file.schema.json`.
///
/// An editor that knows it completes fields and marks what cannot stand in a file. It says less
/// than [`Pipeline::read`](crate::Pipeline::read) finds: what fits the schema may still refer to
/// nothing.
pub fn schema() -> Json {
    let mut schema = schemars::schema_for!(Document);
    schema.insert("title".to_owned(), "Thrifty operation file".into());
    schema.to_value()
}
