//! `spin.toml`, parsed like by Spin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chargegate_edge::EdgeSettings;
use chargegate_queue::ComponentSettings as _;
use chargegate_queue_redis::RedisQueueSettings;
use chargegate_queue_sqs::SqsQueueSettings;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "a key of spin.toml")]
pub(super) struct SpinManifest {
    spin_manifest_version: u32,
    application: ManifestApplication,
    variables: BTreeMap<String, ManifestVariable>,
    trigger: ManifestTriggers,
    component: BTreeMap<String, ManifestComponent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestApplication {
    name: String,
    version: String,
    #[serde(rename = "description")]
    _description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestVariable {
    default: String,
    #[serde(default)]
    secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestTriggers {
    http: Vec<HttpTrigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTrigger {
    route: String,
    component: String,
}

/// A component with its permissions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestComponent {
    pub(super) source: PathBuf,
    allowed_outbound_hosts: Vec<String>,
    variables: BTreeMap<String, String>,
    pub(super) dependencies: BTreeMap<String, ComponentDependency>,
    build: ComponentBuild,
}

/// A component that provides an import.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ComponentDependency {
    pub(super) path: PathBuf,
    pub(super) inherit_configuration: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentBuild {
    command: String,
    watch: Vec<String>,
}

/// Variables and hosts granted to the component after substitution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ComponentGrants {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) hosts: Vec<String>,
}

impl SpinManifest {
    pub(super) fn read() -> Self {
        toml::from_str(&std::fs::read_to_string(root().join("spin.toml")).unwrap()).unwrap()
    }

    /// Returns the component that serves requests.
    pub(super) fn edge(&self) -> &ManifestComponent {
        &self.component["edge"]
    }

    /// Returns the grants of the edge with some variables set.
    pub(super) fn grants(&self, set: &BTreeMap<String, String>) -> ComponentGrants {
        let unknown: Vec<_> = set.keys().filter(|name| !self.variables.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "unknown variables: {unknown:?}");
        let fill = |template: &String| {
            self.variables.iter().fold(template.clone(), |text, (name, variable)| {
                text.replace(&format!("{{{{ {name} }}}}"), set.get(name).unwrap_or(&variable.default))
            })
        };
        let edge = self.edge();
        let variables = edge.variables.iter().map(|(name, template)| (name.clone(), fill(template)));
        ComponentGrants {
            variables: variables.collect(),
            hosts: edge.allowed_outbound_hosts.iter().map(fill).collect(),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_manifest_serves_every_path_by_the_components_that_its_command_builds() {
    let manifest = SpinManifest::read();
    assert_eq!(manifest.spin_manifest_version, 2);
    assert_eq!((&*manifest.application.name, &*manifest.application.version), ("chargegate", "0.1.0"));
    assert_eq!(manifest.component.len(), 1);
    let [trigger] = manifest.trigger.http.as_slice() else { panic!("more than one trigger") };
    assert_eq!((&*trigger.route, &*trigger.component), ("/...", "edge"));
    let edge = manifest.edge();
    assert_eq!(edge.build.command, "cargo xtask edge");
    for pattern in &edge.build.watch {
        let fixed = pattern.split('*').next().unwrap();
        assert!(root().join(fixed).exists(), "{pattern} matches nothing");
    }
    let [(import, queue)] = edge.dependencies.iter().collect::<Vec<_>>()[..] else {
        panic!("one dependency")
    };
    assert_eq!(import, "chargegate:edge/queue@0.1.0");
    // The alternative in the manifest's comment.
    let other = queue.path.with_file_name("chargegate_queue_sqs.wasm");
    for (path, variable) in [
        (&edge.source, "CHARGEGATE_EDGE_COMPONENT"),
        (&queue.path, "CHARGEGATE_QUEUE_REDIS_COMPONENT"),
        (&other, "CHARGEGATE_QUEUE_SQS_COMPONENT"),
    ] {
        let built = PathBuf::from(std::env::var(variable).unwrap());
        assert!(built.ends_with(path.strip_prefix("target").unwrap()), "{path:?} is not {built:?}");
    }
}

#[test]
fn every_variable_is_used_and_secrets_are_marked() {
    let manifest = SpinManifest::read();
    let edge = manifest.edge();
    for (name, variable) in &manifest.variables {
        let template = format!("{{{{ {name} }}}}");
        assert!(edge.variables.values().any(|value| *value == template), "{name} is unused");
        let is_secret = ["password", "secret", "token"].iter().any(|word| name.contains(word));
        assert_eq!(variable.secret, is_secret, "{name}");
    }
    for name in RedisQueueSettings::VARIABLES.iter().chain(SqsQueueSettings::VARIABLES) {
        assert_eq!(edge.variables.get(*name), Some(&format!("{{{{ {name} }}}}")), "{name} is not passed on");
    }
    for name in EdgeSettings::VARIABLES.map(str::to_lowercase) {
        let short = name.trim_start_matches("chargegate_");
        assert_eq!(edge.variables.get(&name), Some(&format!("{{{{ {short} }}}}")), "{name} is not passed on");
    }
    let grants = manifest.grants(&BTreeMap::new());
    let defaults = EdgeSettings::read(|name| grants.variables.get(&name.to_lowercase()).cloned());
    assert_eq!(defaults, Ok(EdgeSettings::default()));
    let left = grants.variables.values().chain(&grants.hosts).find(|value| value.contains("{{"));
    assert_eq!(left, None, "a template names an unknown variable");
}

#[test]
fn only_the_server_of_the_queue_can_be_reached() {
    for url in ["redis://queue.internal:6380", "https://sqs.eu-central-1.amazonaws.com"] {
        let set = BTreeMap::from([("queue_url".into(), url.into())]);
        assert_eq!(SpinManifest::read().grants(&set).hosts, [url]);
    }
}
