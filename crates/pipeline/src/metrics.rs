//! Measurements that a command writes.
//!
//! A file holds JSON values, one behind the other or in lists: each a measurement
//! `{"name": …, "value": …, "step": …}`, or a mapping of names to numbers with a `step` of its own.

use serde_json::Value as Json;
use thrifty_engine::annotations::Metric;

/// How many are kept with a result: its record is to stay small.
const MOST: usize = 1_000;

/// The measurements in a file, and what is wrong with it. What can be read counts; of more than
/// 1,000, the last.
pub(crate) fn read(bytes: &[u8]) -> (Vec<Metric>, Option<String>) {
    let mut metrics = Vec::new();
    let mut wrong = None;
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Json>() {
        let taken = match value {
            Ok(value) => take(&value, &mut metrics),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = taken {
            wrong.get_or_insert(reason);
        }
    }
    let more = metrics.len().saturating_sub(MOST);
    metrics.drain(..more);
    (metrics, wrong)
}

fn take(value: &Json, metrics: &mut Vec<Metric>) -> Result<(), String> {
    match value {
        Json::Array(all) => all.iter().try_for_each(|one| take(one, metrics)),
        Json::Object(table) => {
            let step = table.get("step").and_then(Json::as_i64);
            if let (Some(Json::String(name)), Some(value)) = (table.get("name"), table.get("value"))
            {
                metrics.push(Metric { name: name.clone(), value: number(name, value)?, step });
                return Ok(());
            }
            for (name, value) in table.iter().filter(|(name, _)| *name != "step") {
                metrics.push(Metric { name: name.clone(), value: number(name, value)?, step });
            }
            Ok(())
        }
        other => Err(format!("{other} is no measurement: write {{\"name\": …, \"value\": …}}")),
    }
}

fn number(name: &str, value: &Json) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("`{name}` is {value}, which is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let (metrics, wrong) = read(text.as_bytes());
        let shown = metrics.iter().map(|it| format!("{} {} {:?}", it.name, it.value, it.step));
        shown.chain(wrong).collect()
    }

    #[test]
    fn all_forms_are_read() {
        assert_eq!(told("{\"name\": \"loss\", \"value\": 0.5, \"step\": 1}"), ["loss 0.5 Some(1)"]);
        assert_eq!(
            told("{\"loss\": 1, \"acc\": 0.25, \"step\": 2}\n{\"loss\": 2}\n"),
            ["loss 1 Some(2)", "acc 0.25 Some(2)", "loss 2 None"]
        );
        assert_eq!(told("[{\"a\": 1}, {\"a\": 2}]"), ["a 1 None", "a 2 None"]);
        assert_eq!(told(""), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_read_is_told_and_the_rest_counts() {
        assert_eq!(told("{\"a\": 1}\n7\n{\"a\": 2}")[..2], ["a 1 None", "a 2 None"]);
        assert!(told("{\"a\": 1}\n{\"a\": NaN}")[1].contains("line 2"));
        assert!(told("{\"a\": \"x\"}")[0].contains("`a` is \"x\", which is no number"));
    }

    #[test]
    fn of_very_many_the_last_are_kept() {
        let many: String = (0..1_500).map(|n| format!("{{\"a\": {n}}}\n")).collect();
        let (metrics, _) = read(many.as_bytes());
        assert_eq!((metrics.len(), metrics[999].value), (1_000, 1_499.0));
    }
}
