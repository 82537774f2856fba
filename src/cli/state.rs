//! The state directory: the signing key and the instance, drawn once and kept, and the history.

#![expect(
    clippy::disallowed_methods,
    reason = "the state directory is made before anything is tested"
)]

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};

use super::Common;
use super::paths::state_dir;
use crate::config::plan::{HISTORY, Signing, StorePlan};
use crate::config::secret::{LEAST_KEY, Secret};
use crate::engine::order::Identity;
use crate::files;
use crate::probe::tag::{Instance, Signer};

const KEY_FILE: &str = "signing.key";
const INSTANCE_FILE: &str = "instance";
/// The longest signing key, in bytes.
const LONGEST_KEY: usize = 4096;

impl Common {
    /// Where state is kept.
    pub(super) fn state_dir(&self) -> Result<PathBuf> {
        self.state_dir.clone().map_or_else(state_dir, Ok)
    }

    /// The history's file: the one that the config names, else one in the state directory.
    pub(super) fn history(&self, store: &StorePlan) -> Result<PathBuf> {
        match &store.file {
            Some(file) => Ok(file.clone()),
            None => Ok(self.state_dir()?.join(HISTORY)),
        }
    }

    /// The same, in a state directory that is made if it is not there.
    pub(super) fn own_history(&self, store: &StorePlan) -> Result<PathBuf> {
        make_dir(&self.state_dir()?)?;
        let history = self.history(store)?;
        if let Some(dir) = history.parent() {
            warn_if_open(dir, "the history");
        }
        Ok(history)
    }

    /// Who sends, the same at every start: the configured instance, or one drawn once and kept.
    pub(super) async fn kept_identity(&self, signing: &Signing) -> Result<Identity> {
        if signing.instance.is_some() {
            return self.identity(signing).await;
        }
        let dir = self.state_dir()?;
        let context = || format!("the instance in {}", dir.display());
        let instance = kept(&dir, INSTANCE_FILE, 3).with_context(context)?;
        let bytes = HEXLOWER.decode(instance.expose_secret().as_bytes());
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        let drawn = Instance::drawn(bytes.with_context(|| {
            format!(
                "{} is not six hexadecimal digits: remove it, and another is drawn",
                dir.join(INSTANCE_FILE).display()
            )
        })?);
        let key = self.key(signing).await?;
        Ok(Identity {
            instance: drawn.to_string(),
            signer: Signer::new(key.expose_secret().as_bytes(), drawn),
        })
    }

    async fn key(&self, signing: &Signing) -> Result<SecretString> {
        let key = if let Some(secret) = &signing.key {
            if let Secret::File(path) = secret
                && let Some(dir) = path.parent()
            {
                warn_if_open(dir, "the signing key");
            }
            secret.reveal().await.context("the signing key")?
        } else {
            let dir = self.state_dir()?;
            warn_if_open(&dir, "the signing key");
            kept(&dir, KEY_FILE, 32)
                .with_context(|| format!("the signing key in {}", dir.display()))?
        };
        let text = key.expose_secret();
        ensure!(
            text.len() >= LEAST_KEY,
            "the signing key is shorter than {LEAST_KEY} characters, so tags could be forged"
        );
        ensure!(
            text.len() <= LONGEST_KEY && !text.contains(char::is_control),
            "the signing key is longer than {LONGEST_KEY} bytes or has control characters in it: it must be a line of text"
        );
        Ok(key)
    }

    /// Who sends: the configured or kept key, the configured instance or one drawn now.
    pub(super) async fn identity(&self, signing: &Signing) -> Result<Identity> {
        let key = self.key(signing).await?;
        let instance = if let Some(name) = &signing.instance {
            Instance::named(name)
        } else {
            let mut random = [0; 3];
            fill(&mut random)?;
            Instance::drawn(random)
        };
        Ok(Identity {
            instance: signing
                .instance
                .clone()
                .unwrap_or_else(|| instance.to_string()),
            signer: Signer::new(key.expose_secret().as_bytes(), instance),
        })
    }
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| {
            format!(
                "cannot make the state directory {}; --state-dir names another",
                dir.display()
            )
        })
}

/// What is kept in this file in `dir`: so many random bytes in hexadecimal, drawn if there is none. Of several that draw at
/// the same time, one wins and all use it.
fn kept(dir: &Path, name: &str, bytes: usize) -> Result<SecretString> {
    let path = dir.join(name);
    if !path.exists() {
        make_dir(dir)?;
        draw(dir, &path, bytes)?;
    }
    let text = files::read_text(&path, LONGEST_KEY as u64).with_context(|| {
        format!(
            "{} cannot be read: remove it, and another is drawn",
            path.display()
        )
    })?;
    let mode = fs::metadata(&path)?.permissions().mode();
    if mode & 0o077 != 0 && name == KEY_FILE {
        tracing::warn!(path = %path.display(), "others can read the signing key and forge tags: chmod 600");
    }
    Ok(text.trim().into())
}

/// Warns of a folder in which every user of this machine could put other files in the place of ours.
fn warn_if_open(dir: &Path, holds: &str) {
    let mode = fs::metadata(dir).map(|facts| facts.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o002 != 0) {
        tracing::warn!(
            "every user of this machine can write in {dir}, which holds {holds}: chmod o-w {dir}",
            dir = dir.display()
        );
    }
}

/// The file appears whole or not at all: it is written aside, never over another, and then linked.
fn draw(dir: &Path, path: &Path, bytes: usize) -> Result<()> {
    let mut random = vec![0; bytes];
    fill(&mut random)?;
    let mut suffix = [0; 6];
    fill(&mut suffix)?;
    let aside = dir.join(format!(".drawn.{}", HEXLOWER.encode(&suffix)));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)?;
    let written = writeln!(file, "{}", HEXLOWER.encode(&random))
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&aside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    fs::remove_file(&aside)?;
    Ok(written?)
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| kept(dir.path(), KEY_FILE, 32).unwrap()))
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().unwrap())
                .collect()
        });
        let first = keys[0].expose_secret();
        assert!(first.len() == 64 && keys.iter().all(|key| key.expose_secret() == first));
        let mode = fs::metadata(dir.path().join(KEY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }
}
