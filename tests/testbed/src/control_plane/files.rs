//! The files that a control plane is started with: tokens, keys, the admin's kubeconfig.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

/// The admin's token, in the API server's file of static tokens.
pub(super) fn write_admin_token(directory: &Path) -> Result<()> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).context("making the admin's token")?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    write_private(
        &directory.join("tokens.csv"),
        &format!("{token},admin,admin,system:masters\n"),
    )
}

/// The admin's kubeconfig, JSON as YAML.
pub(super) fn write_admin_kubeconfig(
    directory: &Path,
    port: u16,
    certificate: &Path,
) -> Result<PathBuf> {
    let tokens = std::fs::read_to_string(directory.join("tokens.csv"))
        .context("reading the admin's token")?;
    let token = tokens.split(',').next().unwrap_or_default();
    let authority = STANDARD
        .encode(std::fs::read(certificate).context("reading the API server's certificate")?);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "testbed",
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "admin"}}],
        "clusters": [{"name": "testbed", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": authority,
        }}],
        "users": [{"name": "admin", "user": {"token": token}}],
    });
    let path = directory.join("admin.kubeconfig");
    write_private(&path, &serde_json::to_string_pretty(&config)?)?;
    Ok(path)
}

/// An ECDSA key that the API server signs service account tokens with, and its public half for checking them.
pub(super) fn write_service_account_keys(directory: &Path) -> Result<()> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
        .context("making a service account key")?;
    let private = pair
        .to_pkcs8v1()
        .context("encoding the service account key")?;
    let public: PublicKeyX509Der<'_> = pair
        .public_key()
        .as_der()
        .context("encoding the service account key")?;
    write_private(
        &directory.join("service-account.key"),
        &pem("PRIVATE KEY", private.as_ref()),
    )?;
    write_private(
        &directory.join("service-account.pub"),
        &pem("PUBLIC KEY", public.as_ref()),
    )
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// Removes a directory with all in it, if it is there.
pub(super) fn remove_directory(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file that only its owner may read, whatever the umask. Who reads it meanwhile sees the old one or the new
/// one, whole: the tests of a process share their service account's kubeconfig, and each writes it.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let unfinished = path.with_extension(format!("{}-{number}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}
