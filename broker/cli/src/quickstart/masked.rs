//! The quickstart's plugin at work: the prebuilt `mask-fields` is deployed, a view masks one field
//! of the topic's records, and its first records are read by the same client that any program uses.

use crate::failure::{Failure, Outcome};
use crate::plugin::refusal;
use bytes::Bytes;
use serde_json::{Map, Value};
use weir_client::admin::{DeployOptions, NewView};
use weir_client::{Client, ErrorCode, SeekTo, TopicPartition};
use weir_plugin::{Chain, Link, PluginRef, Policy};

/// The component, as it is in this repository.
const MASK_FIELDS: &[u8] = include_bytes!("../../../../plugins/prebuilt/mask-fields.wasm");

/// How many records are shown.
pub(super) const SHOWN: usize = 3;

/// What is shown.
pub(super) struct Masked {
    /// The plugin with its version.
    pub(super) plugin: String,
    /// The view.
    pub(super) view: String,
    /// The field that it masks.
    pub(super) field: String,
    /// The first records of its first partition.
    pub(super) records: Vec<String>,
}

/// Makes the view of a topic and reads it; nothing where the topic's records have no fields.
pub(super) async fn masked(client: &Client, topic: &str) -> Outcome<Option<Masked>> {
    let first = first_values(client, topic).await?;
    let Some(field) = first.first().and_then(|record| field(record)) else {
        return Ok(None);
    };
    let options = DeployOptions {
        activate: true,
        validate_only: false,
    };
    let component = Bytes::from_static(MASK_FIELDS);
    let deployed = client.admin().deploy_plugin(component, options).await;
    let deployed = deployed.map_err(|error| refusal::admin(&error))?;
    let parameters = [("fields".to_owned(), field.clone())];
    let link = Link {
        plugin: PluginRef {
            name: deployed.name.clone(),
            version: None,
        },
        parameters: parameters.into_iter().collect(),
    };
    let view = NewView {
        name: format!("masked-{topic}"),
        source: topic.to_owned(),
        chain: Chain { links: vec![link] },
        policy: Policy::Skip,
        readers: None,
    };
    match client.admin().create_view(&view, false).await {
        Ok(_) => {}
        // The topic is new, so a view of that name is of another one.
        Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
            return Err(refusal::admin(&error)
                .and_advise(&format!("`weir view delete {}` makes room", view.name)));
        }
        Err(error) => return Err(refusal::admin(&error)),
    }
    let records = first_values(client, &view.name).await?;
    if let Some(leak) = records
        .iter()
        .zip(&first)
        .find(|(masked, plain)| masked == plain)
    {
        return Err(Failure::damaged(format!(
            "the view shows {} unmasked",
            leak.1
        )));
    }
    Ok(Some(Masked {
        plugin: format!("{}@{}", deployed.name, deployed.version.version),
        view: view.name,
        field,
        records,
    }))
}

/// The first values of a topic's first partition.
async fn first_values(client: &Client, topic: &str) -> Outcome<Vec<String>> {
    let mut consumer = client.consumer().build()?;
    let place = (TopicPartition::new(topic, 0), SeekTo::Earliest);
    consumer.assign([place]).await?;
    let mut values = Vec::new();
    // A view may leave out every record of a batch.
    while values.is_empty() {
        let batch = consumer.next_batch().await?;
        for record in batch.raw_records().take(SHOWN) {
            let (_, _, record) = record?;
            let value = record.value.unwrap_or_default();
            values.push(String::from_utf8_lossy(value).into_owned());
        }
    }
    Ok(values)
}

/// The field that is masked: one that names a person, else the last one that is a text or number.
fn field(record: &str) -> Option<String> {
    let fields: Map<String, Value> = serde_json::from_str(record).ok()?;
    let is_plain = |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_scalar = |value: &Value| value.is_string() || value.is_number();
    let scalars = fields.iter().filter(|(_, value)| is_scalar(value));
    let names: Vec<&String> = scalars.map(|(name, _)| name).filter(is_plain).collect();
    let personal = ["email", "name", "customer", "card"];
    let named = personal
        .iter()
        .find_map(|wanted| names.iter().find(|name| name == &wanted));
    named.or(names.last()).map(|name| (*name).clone())
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_that_names_a_person_is_masked() {
        assert_eq!(
            field(r#"{"order":1,"customer":"c1","n":2}"#).as_deref(),
            Some("customer")
        );
        assert_eq!(field(r#"{"a":1,"b":{"c":2}}"#).as_deref(), Some("a"));
        assert_eq!(field("[1]"), None);
        assert_eq!(field(r#"{"a b":1}"#), None);
    }
}
