//! What an operation needs of the machine: an image, resources.

use super::Check;
use crate::container::Image;
use crate::document::Operation;
use crate::error::FileError;
use crate::place::Spanned;
use crate::resources::{Machine, Needed};

impl Check<'_> {
    /// The image that an operation runs in.
    pub(super) fn image(&self, operation: &Operation) -> Result<Option<Image>, FileError> {
        let Some(said) = &operation.image else { return Ok(None) };
        let name = self.text(said.referenced, &said.value.name)?;
        Image::read(self.world.sources.place(said.referenced), name, said.value.network).map(Some)
    }

    /// What an operation needs while it runs.
    pub(super) fn resources(&self, operation: &Operation) -> Result<Option<Needed>, FileError> {
        let read = |said: &Spanned<Machine>| {
            Needed::read(self.world.sources.place(said.referenced), &said.value)
        };
        operation.resources.as_ref().map(read).transpose()
    }
}
