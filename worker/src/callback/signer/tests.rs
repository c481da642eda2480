use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn changed_keys_are_used_and_unusable_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let (one, other) = (CallbackKeys::generate().unwrap(), CallbackKeys::generate().unwrap());
    write(&path, &one.private_text(), 0o600);
    let signer = CallbackSigner::open(Some(&path), None).await.unwrap();
    let id = RequestId::v7(UnixMillis(1), [7; 10]);
    let signs_with = |keys: &CallbackKeys| signer.lines(&id, UnixMillis(0), "").contains(keys.current_id());
    assert!(signs_with(&one));
    for (text, mode) in [("{}", 0o600), (&*format!("{} ", other.private_text()), 0o644)] {
        write(&path, text, mode);
        signer.refresh().await;
        assert!(signs_with(&one), "{mode:o}");
    }
    // The advised change of the mode alone is noticed.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    signer.refresh().await;
    assert!(signs_with(&other));
    write(&path, &format!("{} \n", one.private_text()), 0o600);
    signer.refresh().await;
    assert!(signs_with(&one));
    fs::remove_file(&path).unwrap();
    signer.refresh().await;
    assert!(signs_with(&one));
    write(&path, &format!("{}\n\n", other.private_text()), 0o600);
    signer.refresh().await;
    assert!(signs_with(&other));
    assert_eq!(signer.public_keys(), Some(other.public_text()));
}

#[tokio::test]
async fn an_unusable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let text = |error: CallbackKeyFileError| error.to_string();
    let open = async || text(CallbackSigner::open(Some(&path), None).await.unwrap_err());
    assert!(open().await.contains("keys.json: cannot be read"));
    write(&path, "{}", 0o600);
    assert!(open().await.ends_with("keys.json: is not a JSON Web Key Set of private Ed25519 keys"));
    write(&path, &CallbackKeys::generate().unwrap().private_text(), 0o644);
    assert!(open().await.ends_with("keys.json: may be read by other users: `chmod 600` it"));
    write(&path, "whsec_short", 0o600);
    let refused = CallbackSigner::open(None, Some(&path)).await.unwrap_err();
    assert!(text(refused).contains("must be `whsec_`"));
}

#[tokio::test]
async fn nothing_is_signed_without_files() {
    let signer = CallbackSigner::open(None, None).await.unwrap();
    assert_eq!(signer.lines(&RequestId::v7(UnixMillis(1), [7; 10]), UnixMillis(0), ""), "");
    assert_eq!(signer.public_keys(), None);
}
