//! Who removed an entry: kept as memos, so that a later miss can say it.

use serde::{Deserialize, Serialize};
use thrifty_catalog::{Catalog, CatalogError, Scope, Time};
use thrifty_key::Key;

use crate::units::show_duration;

/// The memos they are kept as.
const TABLE: &str = "removed";
/// How many bytes of a key choose its memo: a newer removal may take the place of an older one,
/// so that there are never more memos than this allows.
const SLOT: usize = 2;

/// What is kept of a removal.
#[derive(Serialize, Deserialize)]
struct Removal {
    /// The key; `None` if all entries were removed.
    key: Option<Key>,
    /// The project and domain, if it was of one alone.
    scope: Option<Scope>,
    at: Time,
    how: String,
    by: String,
}

/// Keeps who removed the entries of some keys, and how: by which command.
///
/// # Errors
///
/// [`CatalogError`] if the catalog cannot be written.
pub fn remember_removed<'a>(
    catalog: &dyn Catalog,
    removed: impl IntoIterator<Item = (&'a Scope, &'a Key)>,
    how: &str,
    by: (&str, &str),
) -> Result<(), CatalogError> {
    let at = catalog.now()?;
    let memo =
        |(scope, key): (_, &Key)| (slot(key).to_vec(), body(Some(*key), Some(scope), at, how, by));
    remember(catalog, removed.into_iter().map(memo).collect())
}

/// Keeps who removed all entries of a project, or of all of them.
///
/// # Errors
///
/// As [`remember_removed`].
pub fn remember_cleared(
    catalog: &dyn Catalog,
    scope: Option<&Scope>,
    how: &str,
    by: (&str, &str),
) -> Result<(), CatalogError> {
    let at = catalog.now()?;
    remember(catalog, vec![(name_of(scope), body(None, scope, at, how, by))])
}

/// Who removed the entry of a key since a time, as a sentence.
pub(crate) fn told(
    catalog: &dyn Catalog,
    scope: &Scope,
    key: &Key,
    since: Time,
) -> Result<Option<String>, CatalogError> {
    let mut newest: Option<Removal> = None;
    for name in [slot(key).to_vec(), name_of(Some(scope)), name_of(None)] {
        let Some(kept) = catalog.recall(TABLE, &name)? else { continue };
        // A memo that cannot be read says nothing.
        let Ok(removal) = rmp_serde::from_slice::<Removal>(&kept) else { continue };
        let is_meant = removal.key.is_none_or(|removed| removed == *key)
            && removal.scope.as_ref().is_none_or(|removed| removed == scope);
        let is_newer = newest.as_ref().is_none_or(|it| it.at < removal.at);
        if is_meant && removal.at >= since && is_newer {
            newest = Some(removal);
        }
    }
    let Some(Removal { at, how, by, .. }) = newest else {
        return Ok(None);
    };
    let ago = u64::try_from(catalog.now()?.saturating_sub(at)).unwrap_or(0);
    let ago = show_duration(std::time::Duration::from_millis(ago));
    Ok(Some(format!("its earlier result was removed {ago} ago by `{how}` ({by})")))
}

fn slot(key: &Key) -> &[u8] {
    &key.as_bytes()[..SLOT]
}

fn name_of(scope: Option<&Scope>) -> Vec<u8> {
    match scope {
        Some(scope) => format!("all of {scope}").into_bytes(),
        None => b"all".to_vec(),
    }
}

/// `by` is a host and a user, as [`crate::Cache::who`] tells them.
fn body(key: Option<Key>, scope: Option<&Scope>, at: Time, how: &str, by: (&str, &str)) -> Vec<u8> {
    let (how, by) = (how.to_owned(), format!("{}@{}", by.1, by.0));
    let removal = Removal { key, scope: scope.cloned(), at, how, by };
    rmp_serde::to_vec(&removal).unwrap_or_default()
}

fn remember(catalog: &dyn Catalog, memos: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), CatalogError> {
    let memos: Vec<_> =
        memos.iter().map(|(name, body)| (name.as_slice(), body.as_slice())).collect();
    catalog.remember(TABLE, &memos)
}
