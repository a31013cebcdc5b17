//! Plugins in a whole broker, with real components: deployed, attached, run over what is produced
//! and over what is read, and all of it again after a restart.

mod common;

use bytes::Bytes;
use common::{client, component, deploy, produce, read, set, start, topic, value};
use weir_client::Client;
use weir_client::admin::{Attach, AttachPlace, DeployOptions, LogQuery, NewView, PluginAttachment};
use weir_plugin::Policy;

const MASK: &str = "mask-fields(fields=\"card\")";

fn orders(from: usize, to: usize) -> Vec<String> {
    let order = |number| format!(r#"{{"id":{number},"card":"4711 {number}"}}"#);
    (from..to).map(order).collect()
}

fn masked(number: usize) -> String {
    format!(r#"{{"id":{number},"card":"***"}}"#)
}

async fn attachment(client: &Client, plugin: &str) -> PluginAttachment {
    let (_, mut all) = client
        .admin()
        .describe_plugin(plugin)
        .await
        .expect("it is there");
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

async fn chains_that_plugins_refuse_are_not_attached(known: &Client) {
    let wrong = set(
        known,
        "orders",
        &[("weir.ingest", "mask-fields(fields=\"[\")")],
    )
    .await;
    let wrong = wrong.expect_err("the plugin refuses it");
    assert!(wrong.contains("the parameter 'fields'"), "{wrong}");
    let unknown = set(
        known,
        "orders",
        &[("weir.ingest", "mask-fields(colour=\"red\")")],
    )
    .await;
    assert!(unknown.expect_err("it takes none").contains("colour"));
    let missing = set(known, "orders", &[("weir.ingest", "no-such")]).await;
    assert!(missing.expect_err("it is not there").contains("no-such"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_kept_handed_out_and_goes_only_when_nothing_uses_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    let admin = known.admin();
    let options = DeployOptions::default();
    let garbage = admin.deploy_plugin(Bytes::from_static(b"not Wasm"), options);
    let refused = garbage.await.expect_err("it is none").to_string();
    assert!(refused.contains("not WebAssembly"), "{refused}");
    let deployed = deploy(&known, "mask-fields").await;
    assert_eq!(deployed.name, "mask-fields");
    topic(&known, "orders", 1).await;

    chains_that_plugins_refuse_are_not_attached(&known).await;
    set(&known, "orders", &[("weir.ingest", MASK)])
        .await
        .expect("it takes them");
    let removal = admin.remove_plugin("mask-fields", None, false).await;
    let removal = removal.expect("an answer");
    assert!(
        removal.removed.is_empty() && removal.refusal.is_some(),
        "{removal:?}"
    );
    assert_eq!(removal.users.len(), 1, "{removal:?}");
    known.close();
    broker.shutdown().await;

    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    let admin = known.admin();
    let (plugin, attached) = admin
        .describe_plugin("mask-fields")
        .await
        .expect("it is there");
    assert_eq!(plugin.versions.len(), 1);
    assert_eq!(plugin.versions[0].failure, None);
    assert_eq!(plugin.active, Some(plugin.versions[0].version.clone()));
    assert_eq!(attached.len(), 1, "{attached:?}");
    let got = admin
        .get_plugin("mask-fields", None, None)
        .await
        .expect("it is there");
    assert_eq!(got.component, Some(component("mask-fields")));
    let again = admin
        .get_plugin("mask-fields", None, Some(got.digest.clone()))
        .await;
    assert_eq!(again.expect("it is there").component, None);
    set(&known, "orders", &[("weir.ingest", "")])
        .await
        .expect("detached");
    let removal = admin.remove_plugin("mask-fields", None, false).await;
    assert_eq!(removal.expect("an answer").removed.len(), 1);
    let left = std::fs::read_dir(folder.path().join("data/plugins")).expect("a folder");
    let left = left.filter_map(Result::ok).filter(|file| {
        let name = file.file_name();
        name.to_string_lossy().ends_with(".wasm")
    });
    assert_eq!(left.count(), 0);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_go_through_plugins_on_their_way_in_and_what_fails_follows_the_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    deploy(&known, "mask-fields").await;
    topic(&known, "orders", 1).await;
    topic(&known, "letters", 1).await;
    set(&known, "orders", &[("weir.ingest", MASK)])
        .await
        .expect("attached");

    let mut values = orders(0, 10);
    values.insert(4, "no JSON".to_owned());
    let refused = produce(&known, "orders", &values).await;
    let refused: Vec<_> = refused.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty(), "the policy is stop");
    assert!(refused[0].contains("mask-fields"), "{refused:?}");

    let policy = ("weir.ingest.policy", "dead-letter:letters");
    set(&known, "orders", &[policy]).await.expect("set");
    let before = known
        .admin()
        .describe_plugin("mask-fields")
        .await
        .expect("there")
        .1;
    let taken = produce(&known, "orders", &values).await;
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    let letter = read(&known, "letters", 1).await.remove(0);
    assert_eq!(value(&letter), "no JSON");
    let names: Vec<&[u8]> = letter
        .headers
        .iter()
        .map(|header| &header.key[..])
        .collect();
    assert!(names.contains(&&b"__weir.error"[..]), "{names:?}");
    assert!(names.contains(&&b"__weir.origin.place"[..]), "{names:?}");

    let records = read(&known, "orders", 10).await;
    let found: Vec<String> = records.iter().map(value).collect();
    let wanted: Vec<String> = (0..10).map(masked).collect();
    assert_eq!(
        found[found.len() - 10..],
        wanted[..],
        "none is untransformed"
    );
    let after = attachment(&known, "mask-fields").await;
    let more = after.usage.records_in - before[0].usage.records_in;
    assert_eq!(more, 11, "{after:?}");
    assert_eq!(after.usage.dead_lettered, 1, "{after:?}");
    known.close();
    broker.shutdown().await;

    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    let taken = produce(&known, "orders", &orders(10, 20)).await;
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    let records = read(&known, "orders", 20).await;
    assert_eq!(records.last().map(value), Some(masked(19)));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_shows_what_its_plugins_make_of_a_topic_and_keeps_offsets() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    deploy(&known, "mask-fields").await;
    deploy(&known, "filter-by-expression").await;
    topic(&known, "orders", 1).await;
    let view = NewView {
        name: "masked".to_owned(),
        source: "orders".to_owned(),
        chain: format!("{MASK}|filter-by-expression(keep=\"value.id >= 90\")")
            .parse()
            .expect("a chain"),
        policy: Policy::Skip,
        readers: None,
    };
    known.admin().create_view(&view, false).await.expect("made");
    for from in (0..100).step_by(10) {
        let mut values = orders(from, from + 10);
        values.push("no JSON".to_owned());
        let taken = produce(&known, "orders", &values).await;
        assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    }
    let whole = read(&known, "orders", 110).await;
    for reader in 0..3 {
        let shown = read(&known, "masked", 10).await;
        for (record, number) in shown.iter().zip(90..) {
            assert_eq!(value(record), masked(number), "reader {reader}");
            let source = whole.iter().find(|source| source.offset == record.offset);
            let source = source.expect("the offset is the source's");
            assert_eq!(value(source), orders(number, number + 1)[0]);
        }
    }
    let mask = attachment(&known, "mask-fields").await;
    assert_eq!(
        mask.usage.records_in, 110,
        "each batch was made once: {mask:?}"
    );
    assert_eq!(mask.usage.skipped, 10, "{mask:?}");
    assert!(mask.usage.cached > 0, "{mask:?}");
    let written = produce(&known, "masked", &orders(0, 1)).await;
    assert!(written[0].is_err(), "a view takes no records");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_end_when_their_time_is_up_and_failures_that_are_gone_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path()).await;
    let known = client(&broker).await;
    let page = known.admin().plugin_logs(&LogQuery::default()).await;
    let page = page.expect("an answer");
    assert!(page.lines.is_empty() && page.next.is_some(), "{page:?}");
    let failure = known
        .admin()
        .plugin_failure(7)
        .await
        .expect_err("there is none");
    assert!(failure.to_string().contains("no failure 7"), "{failure}");
    let chain = "no-such".parse().expect("a chain");
    let admin = known.admin();
    let checked = admin
        .check_chain(&chain, weir_plugin::World::Transform)
        .await;
    let checked = checked.expect_err("it is not there").to_string();
    assert!(checked.contains("no-such"), "{checked}");
    let link = "no-such"
        .parse::<weir_plugin::Chain>()
        .expect("a chain")
        .links
        .remove(0);
    let attach = Attach {
        place: AttachPlace::Ingest,
        link,
        policy: None,
        first: false,
    };
    topic(&known, "orders", 1).await;
    let attached = known.admin().attach("orders", &attach, false).await;
    assert!(
        attached
            .expect_err("it is not there")
            .to_string()
            .contains("no-such")
    );
    broker.shutdown().await;
}
