//! Notes on code: what was not followed, and by which rule something was resolved.
//!
//! They are no part of any key, so they are kept beside the entries, by the digest of the code.

use thrifty_catalog::{Catalog, CatalogError};
use thrifty_key::{Ingredients, Kind};

use crate::operation::Operation;

/// The memos they are kept as.
const TABLE: &str = "notes";

/// The notes on the code among these ingredients.
///
/// # Errors
///
/// [`CatalogError`] if the catalog cannot be read.
pub fn notes(
    catalog: &dyn Catalog,
    ingredients: &Ingredients,
) -> Result<Vec<String>, CatalogError> {
    let Some(code) = ingredients.digest(Kind::Code) else {
        return Ok(Vec::new());
    };
    let kept = catalog.recall(TABLE, code.as_bytes())?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&kept).lines().map(str::to_owned).collect())
}

/// Keeps the notes of an operation.
pub(crate) fn remember(catalog: &dyn Catalog, operation: &Operation) -> Result<(), CatalogError> {
    match operation.digest(Kind::Code) {
        Some(code) if !operation.notes().is_empty() => {
            let text = operation.notes().join("\n");
            catalog.remember(TABLE, &[(code.as_bytes().as_slice(), text.as_bytes())])
        }
        _ => Ok(()),
    }
}
