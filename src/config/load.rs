//! Puts the layers together: defaults, `config/holdfast.toml`, the file of `--config`, the environment.
//!
//! Called once at the start of every command. Either all settings are right, or the error lists every
//! problem of every layer at once.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use figment::Figment;
use figment::providers::Serialized;
use figment::value::Value as FigmentValue;

use super::origin::{Origin, names};
use super::problems::{ConfigError, bad_value};
use super::{Config, environment as variables, file, rules};

/// The file that is read when it exists, below the working directory.
const DEFAULT_FILE: &str = "config/holdfast.toml";

/// The settings, checked, with the origin of each.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Where each `section.key` that is not a default came from.
    pub origins: HashMap<String, Origin>,
}

/// One value of one layer.
pub(super) struct Given {
    /// `section.key`, known to exist.
    pub(super) key: String,
    pub(super) value: FigmentValue,
    /// The value as a message may show it, secrets masked.
    pub(super) shown: String,
    pub(super) origin: Origin,
}

impl Loaded {
    /// Where the value of `key` (`retry.delay`) came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }
}

/// Loads the settings; `file` is the one named by `--config` and must exist, `env` is usually
/// [`environment`].
///
/// # Errors
/// Lists everything that is wrong in the files and the environment.
pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    load_from(Path::new(DEFAULT_FILE), file, env)
}

/// The environment of this process. Bytes that are not UTF-8 are replaced, so that a variable of somebody
/// else can't stop the start.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
}

fn load_from(
    default_file: &Path,
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let names = names();
    let mut problems = Vec::new();
    let mut layers = Vec::new();
    for (path, required) in [(Some(default_file), false), (file, true)] {
        let Some(path) = path else { continue };
        match std::fs::read_to_string(path) {
            Ok(text) => layers.extend(file::read(path, &text, &names, &mut problems)),
            Err(error) if error.kind() == ErrorKind::NotFound && !required => {}
            Err(error) => problems.push(format!(
                "the file {} can't be read: {error}; {}",
                path.display(),
                if required {
                    "check the path given with --config"
                } else {
                    "mend its permissions, or remove it"
                }
            )),
        }
    }
    layers.extend(variables::read(env, &names, &mut problems));

    let (config, given) = merge(layers, &mut problems);
    let origins: HashMap<String, Origin> = given.into_iter().map(|(key, given)| (key, given.origin)).collect();
    let loaded = Loaded { config, origins };
    problems.extend(rules::broken(&loaded));
    if problems.is_empty() {
        return Ok(loaded);
    }
    let mut seen = std::collections::HashSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    Err(ConfigError { problems })
}

/// Later layers win. A value of the wrong type is reported and replaced by its default, so that the next
/// one is found as well.
fn merge(layers: Vec<Given>, problems: &mut Vec<String>) -> (Config, HashMap<String, Given>) {
    let mut given: HashMap<String, Given> = layers.into_iter().map(|given| (given.key.clone(), given)).collect();
    loop {
        let figment = given.values().fold(
            Figment::from(Serialized::defaults(Config::default())),
            |figment, given| figment.merge((given.key.as_str(), &given.value)),
        );
        let error = match figment.extract::<Config>() {
            Ok(config) => return (config, given),
            Err(error) => error,
        };
        let key = error.path.join(".");
        let Some(wrong) = given.remove(&key) else {
            problems.push(format!("{key}: the settings can't be put together: {}", error.kind));
            return (Config::default(), given);
        };
        problems.push(bad_value(&key, &wrong.origin, &wrong.shown, rules::allowed(&key)));
    }
}
