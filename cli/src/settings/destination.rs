//! Flags for the destinations of callbacks.

use chargegate_core::{DestinationPolicy, DestinationSetting};

use super::SettingError;

/// Flags for the destinations of callbacks, as texts: the worker in this process and the edge component parse them alike.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct CallbackDestinationArgs {
    /// Networks that callbacks may go to besides public addresses, such as 10.1.0.0/16, separated by commas
    #[arg(
        long,
        env = DestinationSetting::Allow.variable(),
        value_name = "NETWORKS",
        default_value = "",
        hide_default_value = true
    )]
    callback_allow: String,
    /// Networks that callbacks never go to, separated by commas; they win over `--callback-allow`
    #[arg(
        long,
        env = DestinationSetting::Deny.variable(),
        value_name = "NETWORKS",
        default_value = "",
        hide_default_value = true
    )]
    callback_deny: String,
    /// Hosts that callbacks may go to, such as `api.client.example` or, for every name below a name,
    /// `*.client.example`, separated by commas; a literal address must be listed itself [default: every host]
    #[arg(
        long,
        env = DestinationSetting::Hosts.variable(),
        value_name = "HOSTS",
        default_value = "",
        hide_default_value = true
    )]
    callback_hosts: String,
    /// Refuse callback URLs with the scheme http
    #[arg(
        long,
        env = DestinationSetting::HttpsOnly.variable(),
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    callback_https_only: bool,
    /// Ports that callbacks may go to: ports and ranges of ports, separated by commas
    #[arg(
        long,
        env = DestinationSetting::Ports.variable(),
        value_name = "PORTS",
        default_value = "80,443,1024-65535"
    )]
    callback_ports: String,
    /// Prefix of the NAT64 translator in the network of the workers, such as `64:ff9b::/96`; an address with this prefix is
    /// judged by the IPv4 address in it
    #[arg(
        long,
        env = DestinationSetting::Nat64Prefix.variable(),
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    nat64_prefix: String,
}

impl CallbackDestinationArgs {
    /// Also allows these networks.
    pub(crate) fn allow(&mut self, networks: &str) {
        self.callback_allow = format!("{networks},{}", self.callback_allow);
    }

    /// Returns the policy.
    ///
    /// # Errors
    /// [`SettingError::Destination`].
    pub(crate) fn policy(&self) -> Result<DestinationPolicy, SettingError> {
        DestinationPolicy::from_settings(|setting| Some(self.text(setting))).map_err(|source| {
            let setting = source.setting();
            SettingError::Destination { flag: flag(setting), variable: setting.variable(), source }
        })
    }

    /// Returns the variables of the edge component.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        DestinationSetting::ALL
            .into_iter()
            .map(|setting| (setting.variable().to_owned(), self.text(setting).to_owned()))
    }

    fn text(&self, setting: DestinationSetting) -> &str {
        match setting {
            DestinationSetting::Allow => &self.callback_allow,
            DestinationSetting::Deny => &self.callback_deny,
            DestinationSetting::Hosts => &self.callback_hosts,
            DestinationSetting::HttpsOnly if self.callback_https_only => "true",
            DestinationSetting::HttpsOnly => "false",
            DestinationSetting::Ports => &self.callback_ports,
            DestinationSetting::Nat64Prefix => &self.nat64_prefix,
        }
    }
}

const fn flag(setting: DestinationSetting) -> &'static str {
    match setting {
        DestinationSetting::Allow => "--callback-allow",
        DestinationSetting::Deny => "--callback-deny",
        DestinationSetting::Hosts => "--callback-hosts",
        DestinationSetting::HttpsOnly => "--callback-https-only",
        DestinationSetting::Ports => "--callback-ports",
        DestinationSetting::Nat64Prefix => "--nat64-prefix",
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn parse(flags: &[&str]) -> CallbackDestinationArgs {
        let command = CallbackDestinationArgs::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.mut_args(|arg| arg.env(None)).try_get_matches_from(flags).unwrap();
        CallbackDestinationArgs::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn the_defaults_of_the_flags_are_those_of_the_policy() {
        assert_eq!(parse(&[]).policy().unwrap(), DestinationPolicy::default());
    }

    #[test]
    fn the_flags_and_the_variables_of_the_component_make_the_same_policy() {
        let args = parse(&[
            "--callback-allow=10.0.0.0/8",
            "--callback-deny=10.9.0.0/16",
            "--callback-hosts=*.client.example",
            "--callback-https-only",
            "--callback-ports=443",
            "--nat64-prefix=64:ff9b::/96",
        ]);
        let policy = args.policy().unwrap();
        assert_ne!(policy, DestinationPolicy::default());
        let variables: Vec<_> = args.variables().collect();
        let read = DestinationPolicy::from_settings(|setting| {
            variables.iter().find(|(name, _)| name == setting.variable()).map(|(_, text)| text)
        });
        assert_eq!(read, Ok(policy));
    }

    #[test]
    fn a_malformed_setting_is_named_by_flag_and_variable() {
        let command = CallbackDestinationArgs::augment_args(Command::new("test"));
        for (setting, malformed) in [
            (DestinationSetting::Allow, "10.0.0.0/33"),
            (DestinationSetting::Deny, "all"),
            (DestinationSetting::Hosts, "*"),
            (DestinationSetting::Ports, "0"),
            (DestinationSetting::Nat64Prefix, "64:ff9b::"),
        ] {
            let error = parse(&[flag(setting), malformed]).policy().unwrap_err();
            assert_eq!(error.to_string(), format!("{} or {}", flag(setting), setting.variable()));
        }
        for setting in DestinationSetting::ALL {
            let found =
                command.get_arguments().find(|arg| arg.get_env() == Some(setting.variable().as_ref()));
            assert_eq!(found.and_then(clap::Arg::get_long), flag(setting).strip_prefix("--"));
        }
    }

    #[test]
    fn further_networks_are_allowed_beside_the_configured_ones() {
        for flags in [&[][..], &["--callback-allow=10.0.0.0/8"]] {
            let mut args = parse(flags);
            args.allow("127.0.0.0/8,::1");
            let policy = args.policy().unwrap();
            assert_eq!(policy.judge_address([127, 0, 0, 1].into()), Ok(()));
            assert_eq!(policy.judge_address([10, 0, 0, 1].into()).is_ok(), !flags.is_empty());
        }
    }
}
