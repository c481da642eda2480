//! Signatures of real callbacks, verified by the functions of the documentation.

use std::cell::Cell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::app::{CallbackRecord, TOKEN, TestApp, body, eventually, program};

/// Page with the functions.
const PAGE: &str = include_str!("../../docs/callbacks.md");

/// A language whose function is run, by its tag on the page.
struct Language {
    tag: &'static str,
    file: &'static str,
    /// Text around the function, which becomes a program with the arguments id, timestamp, signatures, body, tolerance and
    /// members `x`.
    before: &'static str,
    after: &'static str,
    command: fn() -> Command,
}

const LANGUAGES: [Language; 5] = [
    Language {
        tag: "python",
        file: "verify.py",
        before: "",
        after: "\nimport sys\nid, at, signatures, body, tolerance, *keys = sys.argv[1:]\n\
            headers = {'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures}\n\
            verify(headers, body.encode(), {'keys': [{'x': x} for x in keys]}, int(tolerance))\n",
        command: python,
    },
    Language {
        tag: "js",
        file: "verify.js",
        before: "",
        after: "\nconst [id, at, signatures, body, tolerance, ...keys] = process.argv.slice(2);\n\
            const headers = { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures };\n\
            const jwks = { keys: keys.map((x) => ({ kty: 'OKP', crv: 'Ed25519', x })) };\n\
            verify(headers, Buffer.from(body), jwks, Number(tolerance));\n",
        command: || Command::new("node"),
    },
    Language {
        tag: "php",
        file: "verify.php",
        before: "<?php\n",
        after: "\n[, $id, $at, $signatures, $body, $tolerance] = $argv;\n\
            $headers = ['webhook-id' => $id, 'webhook-timestamp' => $at, 'webhook-signature' => $signatures];\n\
            $keys = array_map(fn ($x) => ['x' => $x], array_slice($argv, 6));\n\
            verify($headers, $body, ['keys' => $keys], (int) $tolerance);\n",
        command: || Command::new("php"),
    },
    Language {
        tag: "ruby",
        file: "verify.rb",
        before: "",
        after: "\nid, at, signatures, body, tolerance, *keys = ARGV\n\
            headers = { 'webhook-id' => id, 'webhook-timestamp' => at, 'webhook-signature' => signatures }\n\
            verify(headers, body, { 'keys' => keys.map { |x| { 'x' => x } } }, Integer(tolerance))\n",
        command: || Command::new("ruby"),
    },
    Language {
        tag: "java",
        file: "Verify.java",
        before: "import static java.nio.charset.StandardCharsets.UTF_8;\nimport java.security.*;\n\
            import java.security.spec.X509EncodedKeySpec;\nimport java.util.*;\nclass Verify {\n",
        after: "\npublic static void main(String[] args) throws Exception {\n\
            var headers = Map.of(\"webhook-id\", args[0], \"webhook-timestamp\", args[1], \"webhook-signature\", args[2]);\n\
            var keys = List.of(args).subList(5, args.length);\n\
            verify(headers, args[3].getBytes(UTF_8), keys, Long.parseLong(args[4]));\n}\n}\n",
        command: || Command::new("java"),
    },
];

/// Returns the Python that has the packages of Moto, `cryptography` among them.
fn python() -> Command {
    let moto = PathBuf::from(std::env::var_os("CHARGEGATE_MOTO").expect("set by `cargo xtask test`"));
    let first_line = std::fs::read_to_string(&moto).unwrap().lines().next().unwrap().to_owned();
    let interpreter = first_line.trim_start_matches("#!").split(' ').next().unwrap().to_owned();
    let mut command = Command::new(interpreter);
    command.env("PYTHONPATH", moto.parent().unwrap());
    command
}

/// The programs of all languages.
struct Verifiers {
    folder: TempDir,
}

impl Verifiers {
    fn write() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for Language { tag, file, before, after, .. } in LANGUAGES {
            let start = format!("\n```{tag}\n");
            let (_, rest) = PAGE.split_once(&start).expect(tag);
            let (function, _) = rest.split_once("\n```\n").expect(tag);
            std::fs::write(folder.path().join(file), format!("{before}{function}\n{after}")).unwrap();
        }
        Self { folder }
    }

    /// Asserts that the function of each language accepts a callback, or refuses it with this reason.
    async fn check(&self, callback: &SignedCallback, keys: &[String], tolerance: i64, refusal: Option<&str>) {
        for Language { tag, file, command, .. } in LANGUAGES {
            let SignedCallback { id, timestamp, signatures, body } = callback;
            let mut command = command();
            command.arg(self.folder.path().join(file)).args([id, timestamp, signatures, body]);
            let Output { status, stderr, stdout } =
                command.arg(tolerance.to_string()).args(keys).output().await.expect(tag);
            let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            assert_eq!(status.success(), refusal.is_none(), "{tag}: {refusal:?}: {text}");
            assert!(refusal.is_none_or(|refusal| text.contains(refusal)), "{tag}: {refusal:?}: {text}");
        }
    }
}

#[derive(Clone)]
struct SignedCallback {
    id: String,
    timestamp: String,
    signatures: String,
    body: String,
}

impl SignedCallback {
    fn of(record: &CallbackRecord) -> Self {
        let header = |name: &str| record.header(name).to_owned();
        Self {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signatures: header("webhook-signature"),
            body: record.body.clone(),
        }
    }
}

/// Runs `chargegate keys` and returns the members `x` of the public keys.
async fn keys(command: &[&str], file: &Path) -> Vec<String> {
    let output = program().arg("keys").args(command).arg(file).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let set: Value = serde_json::from_slice(&output.stdout).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["x"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_real_callback_is_verified_in_five_languages_through_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let first = keys(&["new"], &file).await;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let app = TestApp::spawn(&["--callback-key-file", file.to_str().unwrap()]).await;
    let callback = async |path: &str| {
        app.post(&body(TOKEN, &app.receiver.url(path)), &[]).await.request_id();
        app.receiver.wait(path, 1).await.remove(0)
    };
    let verifiers = Verifiers::write();
    let signed = SignedCallback::of(&callback("/first").await);
    verifiers.check(&signed, &first, 300, None).await;

    let other = keys(&["new"], &folder.path().join("other.json")).await;
    verifiers.check(&signed, &other, 300, Some("no valid signature")).await;
    verifiers.check(&signed, &first, -1, Some("old timestamp")).await;
    let changed = SignedCallback { body: signed.body.replace("allowed\"}", "invalid\"}"), ..signed.clone() };
    verifiers.check(&changed, &first, 300, Some("no valid signature")).await;

    let both = keys(&["rotate"], &file).await;
    assert_eq!(both[1..], first[..]);
    // The changed file is read within a second.
    let numbers = Cell::new(0);
    let rotated = eventually("a callback with two signatures", async || {
        let number = numbers.replace(numbers.get() + 1);
        let signed = SignedCallback::of(&callback(&format!("/rotated/{number}")).await);
        signed.signatures.contains(' ').then_some(signed)
    })
    .await;
    verifiers.check(&rotated, &first, 300, None).await;
    verifiers.check(&rotated, &both[..1], 300, None).await;

    let jwks = app.client.get(&format!("{}/.well-known/jwks.json", app.process.edge)).await;
    assert_eq!((jwks.status.as_u16(), jwks.header("content-type")), (200, "application/jwk-set+json"));
    assert!(jwks.body.contains(&first[0]) && !jwks.body.contains("\"d\""), "{}", jwks.body);
}

/// A reference library of Standard Webhooks, which verifies symmetric signatures.
struct ReferenceLibrary {
    program: &'static str,
    flag: &'static str,
    /// Script that verifies the webhook of its arguments.
    script: &'static str,
    path_variable: &'static str,
    path: PathBuf,
}

impl ReferenceLibrary {
    fn all() -> [Self; 2] {
        let file = std::env::var_os("CHARGEGATE_STANDARD_WEBHOOKS").expect("set by `cargo xtask test`");
        let folder = Path::new(&file).parent().and_then(Path::parent).unwrap();
        let python = Self {
            program: "python3",
            flag: "-c",
            script: "import sys; from standardwebhooks import Webhook\n\
                secret, id, at, signatures, body = sys.argv[1:]\n\
                headers = {'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures}\n\
                Webhook(secret).verify(body, headers)",
            path_variable: "PYTHONPATH",
            path: folder.to_owned(),
        };
        let node = Self {
            program: "node",
            flag: "-e",
            script: "const [secret, id, at, signatures, body] = process.argv.slice(1);\n\
                const headers = { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures };\n\
                new (require('standardwebhooks').Webhook)(secret).verify(body, headers);",
            path_variable: "NODE_PATH",
            path: folder.join("node_modules"),
        };
        [python, node]
    }

    /// Asserts that the library accepts a callback, or refuses it.
    async fn check(&self, secret: &str, callback: &SignedCallback, is_accepted: bool) {
        let SignedCallback { id, timestamp, signatures, body } = callback;
        let mut command = Command::new(self.program);
        command.env(self.path_variable, &self.path).args([self.flag, self.script]);
        let Output { status, stderr, .. } =
            command.args([secret, id, timestamp, signatures, body]).output().await.unwrap();
        let text = String::from_utf8_lossy(&stderr);
        assert_eq!(status.success(), is_accepted, "{}: {text}", self.program);
        assert!(is_accepted || text.contains("No matching signature found"), "{}: {text}", self.program);
    }
}

#[tokio::test]
async fn the_reference_libraries_verify_a_callback_with_both_kinds_of_signatures() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let folder = tempfile::tempdir().unwrap();
    let (key_file, secret_file) = (folder.path().join("keys.json"), folder.path().join("secret"));
    keys(&["new"], &key_file).await;
    std::fs::write(&secret_file, SECRET).unwrap();
    std::fs::set_permissions(&secret_file, Permissions::from_mode(0o600)).unwrap();
    let [key_file, secret_file] = [&key_file, &secret_file].map(|path| path.to_str().unwrap());
    let app = TestApp::spawn(&["--callback-key-file", key_file, "--callback-secret-file", secret_file]).await;
    app.post(&body(TOKEN, &app.receiver.url("/both")), &[]).await.request_id();
    let signed = SignedCallback::of(&app.receiver.wait("/both", 1).await.remove(0));
    let versions: Vec<_> =
        signed.signatures.split(' ').map(|entry| entry.split(',').next().unwrap()).collect();
    assert_eq!(versions, ["v1a", "v1"]);
    let changed = SignedCallback { body: "{}".to_owned(), ..signed.clone() };
    for library in ReferenceLibrary::all() {
        library.check(SECRET, &signed, true).await;
        library.check("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &signed, false).await;
        library.check(SECRET, &changed, false).await;
    }
}

#[tokio::test]
async fn an_existing_file_of_keys_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, "precious").unwrap();
    let output = program().args(["keys", "new"]).arg(&file).output().await.unwrap();
    assert!(!output.status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
