//! First start, later starts, and every way the folder can be wrong.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn bootstrap() -> HostPort {
    "127.0.0.1:9092".parse().unwrap()
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

fn opened(data: &Path) -> Result<Certs, CertsError> {
    Certs::open(data, &names(&["localhost", "127.0.0.1"]), &bootstrap())
}

fn text(data: &Path, file: &str) -> String {
    fs::read_to_string(data.join("certs").join(file)).unwrap()
}

/// What opening says after `change` was done to the folder; it must name `file`.
fn refusal(file: &str, change: impl FnOnce(&Path)) -> String {
    let data = tempfile::tempdir().unwrap();
    opened(data.path()).unwrap();
    change(&data.path().join("certs"));
    let said = opened(data.path()).unwrap_err().to_string();
    assert!(said.contains(file), "`{said}` does not name {file}");
    assert!(!said.contains('\n'), "{said}");
    said
}

#[test]
fn the_first_start_makes_everything_and_later_ones_nothing() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("deep").join("data");
    let certs = opened(&data).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(certs.folder()), 0o700);
    let mut files = Vec::new();
    for entry in fs::read_dir(certs.folder()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files.push((path.clone(), fs::read_to_string(&path).unwrap()));
    }
    assert_eq!(files.len(), 7);
    assert_eq!(
        fs::read_dir(&data).unwrap().count(),
        1,
        "nothing is left over"
    );
    drop(opened(&data).unwrap());
    drop(Certs::load(&data).unwrap());
    for (path, before) in files {
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            before,
            "{}",
            path.display()
        );
    }
}

#[test]
fn other_names_get_a_new_server_certificate_of_the_same_ca() {
    let data = tempfile::tempdir().unwrap();
    let before = opened(data.path()).unwrap();
    let (ca, server) = (before.ca.clone(), before.server.clone());
    let key = before.server_key.clone();
    let more = names(&["localhost", "127.0.0.1", "broker.example", "2001:db8::7"]);
    let after = Certs::open(data.path(), &more, &bootstrap()).unwrap();
    assert_eq!((&after.ca, &after.server_key), (&ca, &key));
    assert_ne!(after.server, server);
    let shown = after.show().unwrap();
    let carried = &shown
        .iter()
        .find(|(file, _)| file.ends_with(SERVER_FILE))
        .unwrap()
        .1;
    for name in &more {
        assert!(
            carried.names.contains(name),
            "{name} in {:?}",
            carried.names
        );
    }
    // Fewer names need no new one.
    let fewer = opened(data.path()).unwrap();
    assert_eq!(fewer.server, after.server);
}

#[test]
fn another_address_moves_the_admin_profile_and_a_lost_one_is_made_anew() {
    let data = tempfile::tempdir().unwrap();
    let certs = opened(data.path()).unwrap();
    let before = Profile::read(&certs.admin_file()).unwrap();
    assert_eq!(&*before.principal.name, "admin");
    assert_eq!(before.principal.role, Role::Admin);
    let moved: HostPort = "localhost:7".parse().unwrap();
    Certs::open(data.path(), &[], &moved).unwrap();
    let after = Profile::read(&certs.admin_file()).unwrap();
    assert_eq!(after.bootstrap, [moved]);
    assert_eq!(after.certificate, before.certificate);
    fs::remove_file(certs.admin_file()).unwrap();
    opened(data.path()).unwrap();
    let again = Profile::read(&certs.admin_file()).unwrap();
    assert_ne!(again.certificate, before.certificate);
}

#[test]
fn issued_certificates_carry_name_and_role() {
    let data = tempfile::tempdir().unwrap();
    let certs = opened(data.path()).unwrap();
    for (name, role) in [
        ("alice", Role::Client),
        ("Zoë O'Hara, Dept. 7 + \"x\"", Role::Admin),
        ("b1", Role::Broker),
    ] {
        let profile = certs.issue(name, role, 90, &[bootstrap()]).unwrap();
        let read: Profile = profile.to_text().parse().unwrap();
        assert_eq!(
            read,
            Profile {
                ca: read.ca.clone(),
                certificate: read.certificate.clone(),
                key: read.key.clone(),
                ..profile
            }
        );
        let info = read.certificate_info().unwrap();
        assert_eq!(info.name.as_deref(), Some(name));
        assert_eq!(info.role, Some(role));
        assert!(!info.is_ca);
        let days = (info.not_after - OffsetDateTime::now_utc().unix_timestamp()) / 86_400;
        assert!((89..=90).contains(&days), "{days}");
        assert_eq!(info.fingerprint.len(), 32 * 3 - 1);
        assert!(info.not_after_text().ends_with('Z'));
    }
    for wrong in ["", " a", "a\n", "local", &"x".repeat(65)] {
        let refused = certs.issue(wrong, Role::Client, 1, &[]);
        assert!(matches!(refused, Err(CertsError::Name { .. })), "{wrong:?}");
    }
}

#[test]
fn profiles_say_what_is_wrong_with_them() {
    let data = tempfile::tempdir().unwrap();
    let certs = opened(data.path()).unwrap();
    let good = certs
        .issue("alice", Role::Client, 1, &[bootstrap()])
        .unwrap()
        .to_text();
    for (from, to, why) in [
        ("format = 1", "format = 2", "format 2"),
        ("format = 1\n", "", "format"),
        ("name = alice", "name = bob", "is that of `alice`"),
        ("role = client", "role = admin", "is that of `alice`"),
        ("role = client", "role = king", "role is wrong"),
        ("bootstrap = 127", "bootstrap = :127", "bootstrap"),
        ("[key]", "[kee]", "unknown part"),
        ("[ca]", "", "is not `key = value`"),
        ("PRIVATE KEY", "PUBLIC CAT", "no private key"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        let said = bad.parse::<Profile>().unwrap_err().to_string();
        assert!(said.contains(why), "{from} -> {to}: {said}");
    }
    let cut = good.split("[key]").next().unwrap();
    assert!(
        cut.parse::<Profile>()
            .unwrap_err()
            .to_string()
            .contains("[key]")
    );
    let file = data.path().join("alice.weir");
    let missing = Profile::read(&file).unwrap_err().to_string();
    assert!(missing.contains("alice.weir"), "{missing}");
}

#[test]
fn missing_damaged_and_foreign_files_are_named() {
    for file in [
        CA_FILE,
        CA_KEY_FILE,
        SERVER_FILE,
        SERVER_KEY_FILE,
        TRANSPORT_KEY_FILE,
    ] {
        let said = refusal(file, |folder| fs::remove_file(folder.join(file)).unwrap());
        assert!(said.contains("is missing"), "{said}");
        let said = refusal(file, |folder| {
            fs::write(folder.join(file), "rubbish").unwrap()
        });
        assert!(said.contains("is damaged"), "{said}");
        refusal(file, |folder| {
            fs::write(folder.join(file), [0xff; 64]).unwrap()
        });
        refusal(file, |folder| fs::write(folder.join(file), "").unwrap());
    }
    let other = tempfile::tempdir().unwrap();
    opened(other.path()).unwrap();
    for file in [CA_KEY_FILE, SERVER_FILE, SERVER_KEY_FILE, ADMIN_FILE] {
        let foreign = text(other.path(), file);
        let said = refusal(file, |folder| {
            fs::write(folder.join(file), foreign).unwrap()
        });
        assert!(said.contains("does not belong"), "{said}");
    }
    let said = refusal(FORMAT_FILE, |folder| {
        fs::write(folder.join(FORMAT_FILE), "9").unwrap()
    });
    assert!(said.contains("\"9\""), "{said}");
    let server = text(other.path(), SERVER_FILE);
    let said = refusal(CA_FILE, |folder| {
        fs::write(folder.join(CA_FILE), server).unwrap()
    });
    assert!(said.contains("not the certificate of a CA"), "{said}");
}

#[test]
fn without_a_broker_there_is_nothing_to_load() {
    let data = tempfile::tempdir().unwrap();
    let said = Certs::load(data.path()).unwrap_err().to_string();
    assert!(said.contains("weir serve"), "{said}");
    assert!(!data.path().join("certs").exists());
}

#[test]
fn a_certificate_that_names_nobody_is_no_principal() {
    let data = tempfile::tempdir().unwrap();
    let certs = opened(data.path()).unwrap();
    let chain = certs.server_chain().unwrap();
    assert!(matches!(
        principal(&chain[0]),
        Err(PrincipalError::NoRole { .. })
    ));
    assert!(matches!(
        principal(b""),
        Err(PrincipalError::Unreadable { .. })
    ));
    assert!(matches!(
        principal(&[0x30; 40]),
        Err(PrincipalError::Unreadable { .. })
    ));
}
