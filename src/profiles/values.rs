//! What the operator says of each tenant: a TOML table for each, as JSON for expressions and
//! templates.

use model::Tenant;
use provisioning::ProfileFault;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// What the file is called in faults.
const FILE: &str = "provisioning.values_file";

/// Reads the file; every fault at once.
pub(super) fn parse(text: &str) -> Result<HashMap<Tenant, Arc<Value>>, Vec<ProfileFault>> {
    let fault = |offset: Option<usize>, message: String| ProfileFault {
        file: FILE.into(),
        line: offset.map(|offset| line(text, offset)),
        message,
    };
    let (table, errors) = toml::de::DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let said = |error: &toml::de::Error| {
            let message = error.message().trim().replace('\n', "; ");
            fault(error.span().map(|span| span.start), message)
        };
        return Err(errors.iter().map(said).collect());
    }
    let (mut values, mut faults) = (HashMap::new(), Vec::new());
    for (key, node) in table.get_ref() {
        let at = Some(key.span().start);
        let Ok(tenant) = Tenant::new(key.get_ref()) else {
            faults.push(fault(at, "is not the name of a tenant".to_owned()));
            continue;
        };
        match node.get_ref() {
            toml::de::DeValue::Table(_) => {
                values.insert(tenant, Arc::new(json(node.get_ref())));
            }
            _ => faults.push(fault(at, "must be a table: a tenant's values".to_owned())),
        }
    }
    faults.sort_by_key(|fault| fault.line);
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}

fn json(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number.map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(is_set) => Value::Bool(*is_set),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let entry = |(key, node): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                (key.to_string(), json(node.get_ref()))
            };
            Value::Object(table.iter().map(entry).collect::<Map<_, _>>())
        }
    }
}

/// The line of an offset, counted from 1.
fn line(text: &str, offset: usize) -> u32 {
    let before = text.get(..offset).unwrap_or(text);
    u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_tenant_has_its_own() {
        let text = "[default]\nntp = [\"a\", \"b\"]\nport = 0x10\n[default.sip]\non = true\n\
            rate = 1.5\nsince = 2026-01-01\n[north]\n";
        let values = parse(text).unwrap();
        let expected = json!({
            "ntp": ["a", "b"], "port": 16,
            "sip": { "on": true, "rate": 1.5, "since": "2026-01-01" },
        });
        assert_eq!(*values[&Tenant::default()], expected);
        assert_eq!(*values[&Tenant::new("north").unwrap()], json!({}));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn every_fault_has_its_line() {
        let lines = |text: &str| -> Vec<_> {
            parse(text).unwrap_err().iter().map(|fault| fault.line.unwrap()).collect()
        };
        assert_eq!(lines("[default]\n\nntp = \n"), [3]);
        assert_eq!(lines("ntp = 1\n[\"a b\"]\n[ok]\n"), [1, 2]);
    }
}
