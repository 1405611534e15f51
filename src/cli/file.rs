//! Files that appear whole or not at all.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a file, or replaces it, in one step.
///
/// # Errors
/// A line that says which file cannot be written and why.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    // The umask applies.
    let permissions = fs::Permissions::from_mode(0o666);
    write_atomically(path, bytes, permissions)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Replaces a file in one step by one with these permissions, whatever the umask.
///
/// # Errors
/// As [`write`].
pub fn replace(path: &Path, bytes: &[u8], permissions: fs::Permissions) -> Result<(), String> {
    write_atomically(path, bytes, permissions.clone())
        .and_then(|()| fs::set_permissions(path, permissions))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn write_atomically(
    path: &Path,
    bytes: &[u8],
    permissions: fs::Permissions,
) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|parent| *parent != Path::new(""))
        .unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".nvfp4gen-")
        .permissions(permissions)
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
