//! Outputs as they are written: each with its place, or their names alone.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Output, Table};
use crate::place::Spanned;

/// Reads outputs: each with its place, or their names alone.
pub(super) fn table_or_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Table<Output>, D::Error> {
    struct Forms;
    impl<'de> Visitor<'de> for Forms {
        type Value = Table<Output>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outputs by name, or a list of their names")
        }

        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Table<Output>, A::Error> {
            Table::deserialize(MapAccessDeserializer::new(table))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Table<Output>, A::Error> {
            let mut outputs = Table::new();
            while let Some(Spanned { value: name, referenced }) =
                names.next_element::<Spanned<String>>()?
            {
                let output = Spanned::new(Output::Value, referenced);
                if outputs.insert(name.clone(), output).is_some() {
                    return Err(serde::de::Error::custom(format!("output `{name}` stands twice")));
                }
            }
            Ok(outputs)
        }
    }
    deserializer.deserialize_any(Forms)
}
