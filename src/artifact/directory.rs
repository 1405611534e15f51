//! A directory that is replaced as a whole, and read as a whole.
//!
//! Writers build a hidden sibling, flush it to the disk and exchange the two names in one step (`renameat2` with
//! `RENAME_EXCHANGE`), so that at every instant, a crash included, the name leads to a complete directory. Of several
//! writers the last one wins and none fails. Where a file system cannot exchange names the old directory is moved
//! aside first, and for that moment the name leads nowhere.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tempfile::TempDir;

use super::error::StoreError;

/// File names of a directory and their bytes; `None` for what is not a plain file.
pub type Contents = BTreeMap<String, Option<Vec<u8>>>;

/// A write takes milliseconds: a hidden sibling this old was left behind by a writer that was killed.
const ABANDONED: Duration = Duration::from_secs(600);

/// Rounds after which a reader or writer gives up against others that keep changing the directory.
const ROUNDS: usize = 1000;

/// Everything in `directory`, of one moment: never half of an old and half of a new version. `None` if it does not exist.
///
/// # Errors
/// [`StoreError::Io`].
pub fn read(directory: &Path) -> Result<Option<Contents>, StoreError> {
    for _ in 0..ROUNDS {
        let handle = match File::open(directory) {
            Ok(handle) => handle,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", directory)(error)),
        };
        let contents = read_open(&handle, directory);
        // The open handle keeps its inode from being reused, so that equal numbers mean the same directory.
        if is_same(&handle, directory) {
            return contents.map(Some);
        }
    }
    Err(StoreError::io("read", directory)(
        ErrorKind::ResourceBusy.into(),
    ))
}

/// Makes `directory` hold exactly `files`, in one step. `may_replace` is asked about the present contents first.
///
/// # Errors
/// [`StoreError::Io`], or what `may_replace` answers.
pub fn replace(
    directory: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    may_replace: impl Fn(&Contents) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let directory = &follow_link(directory);
    let parent = parent_of(directory);
    fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
    sweep(parent, &hidden_prefix(directory));
    if let Some(present) = read(directory)? {
        may_replace(&present)?;
    }
    let sibling = write_sibling(directory, files)?;
    swap(sibling.path(), directory)?;
    sync(parent)
    // Dropping `sibling` removes what now has its name: the old directory, if there was one.
}

fn read_open(handle: &File, directory: &Path) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    let entries = rustix::fs::Dir::read_from(handle)
        .map_err(|e| StoreError::io("list", directory)(e.into()))?;
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("list", directory)(e.into()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "." || name == ".." {
            continue;
        }
        let bytes =
            read_file(handle, &name).map_err(StoreError::io("read", &directory.join(&name)))?;
        contents.insert(name, bytes);
    }
    Ok(contents)
}

fn read_file(handle: &File, name: &str) -> std::io::Result<Option<Vec<u8>>> {
    let status = rustix::fs::statat(handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !rustix::fs::FileType::from_raw_mode(status.st_mode).is_file() {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::openat(handle, name, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn is_same(handle: &File, directory: &Path) -> bool {
    match (handle.metadata(), fs::metadata(directory)) {
        (Ok(opened), Ok(now)) => (opened.dev(), opened.ino()) == (now.dev(), now.ino()),
        _ => false,
    }
}

fn write_sibling(
    directory: &Path,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<TempDir, StoreError> {
    let parent = parent_of(directory);
    let sibling = tempfile::Builder::new()
        .prefix(&hidden_prefix(directory))
        // As `mkdir` would: the umask decides, not the privacy of temporary files.
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(StoreError::io("create a directory in", parent))?;
    for (name, bytes) in files {
        let path = sibling.path().join(name);
        let write = || -> std::io::Result<()> {
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(StoreError::io("write", &path))?;
    }
    sync(sibling.path())?;
    Ok(sibling)
}

/// Gives `sibling` the name `directory`; what had that name takes the sibling's.
fn swap(sibling: &Path, directory: &Path) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        match rustix::fs::renameat_with(CWD, sibling, CWD, directory, RenameFlags::EXCHANGE) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => move_aside(directory)?,
            Err(error) => return Err(StoreError::io("replace", directory)(error.into())),
        }
        // Nothing has the name now, unless another writer was quicker: then the next round replaces it.
        match fs::rename(sibling, directory) {
            Ok(()) => return Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
                ) => {}
            Err(error) => return Err(StoreError::io("replace", directory)(error)),
        }
    }
    Err(StoreError::io("replace", directory)(
        ErrorKind::ResourceBusy.into(),
    ))
}

/// For file systems without exchange.
fn move_aside(directory: &Path) -> Result<(), StoreError> {
    let parent = parent_of(directory);
    let aside = tempfile::Builder::new()
        .prefix(&hidden_prefix(directory))
        .tempdir_in(parent)
        .map_err(StoreError::io("create a directory in", parent))?;
    match fs::rename(directory, aside.path()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("replace", directory)(error))
        }
        _ => Ok(()),
    }
}

/// Removes what killed writers left. Failing to is not an error: nobody reads these.
fn sweep(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(prefix);
        let age = entry
            .metadata()
            .and_then(|data| data.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        if ours && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn sync(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|handle| handle.sync_all())
        .map_err(StoreError::io("flush", directory))
}

/// A symbolic link keeps its place; what it leads to is replaced.
fn follow_link(directory: &Path) -> PathBuf {
    directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned())
}

fn parent_of(directory: &Path) -> &Path {
    match directory.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn hidden_prefix(directory: &Path) -> String {
    format!(
        ".{}.partial-",
        directory
            .file_name()
            .unwrap_or(OsStr::new("library"))
            .to_string_lossy()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        fs::read_dir(folder).unwrap().map(name).collect()
    }

    /// What happens on file systems that cannot exchange names.
    #[test]
    fn without_exchange_the_old_directory_moves_aside() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("library");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("old"), "old").unwrap();
        let files = BTreeMap::from([("new".to_owned(), b"new".to_vec())]);
        let sibling = write_sibling(&directory, &files).unwrap();
        move_aside(&directory).unwrap();
        assert_eq!(read(&directory).unwrap(), None);
        move_aside(&directory).unwrap();
        swap(sibling.path(), &directory).unwrap();
        drop(sibling);
        assert_eq!(names(home.path()), ["library"]);
        assert_eq!(names(&directory), ["new"]);
    }
}
