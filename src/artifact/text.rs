//! The manifest as text: one fact, or one slot of the parameter block, a line.
//!
//! The first line is a comment with the hash of all the lines below it, so that a manifest that lost its tail is told
//! from a short one, and a directory of ours from somebody else's.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::hash::sha256;
use super::manifest::{Cubins, KernelEntry, Manifest};

/// The format that this version writes and reads.
pub const FORMAT: u32 = 1;

const MARK: &str =
    "# nvfp4gen library, written by `nvfp4gen build`, not to be edited; sha256 of the rest: ";

/// The text of a manifest: the same bytes for the same facts.
pub fn write(manifest: &Manifest) -> String {
    let mut body = String::new();
    line(&mut body, "format", &manifest.format);
    line(&mut body, "target", &manifest.target);
    line(&mut body, "generator", &manifest.generator);
    for entry in &manifest.kernels {
        write_entry(&mut body, entry);
    }
    marked(&body)
}

/// The text of a list of cubins.
pub fn write_cubins(cubins: &Cubins) -> String {
    let mut body = String::new();
    line(&mut body, "format", &cubins.format);
    for cubin in &cubins.cubins {
        body.push_str("\n[[cubin]]\n");
        line(&mut body, "key", &cubin.key);
        line(&mut body, "file", &cubin.file);
        line(&mut body, "architecture", &cubin.architecture);
        line(&mut body, "sha256", &cubin.sha256);
        line(&mut body, "ptx_sha256", &cubin.ptx_sha256);
    }
    marked(&body)
}

fn marked(body: &str) -> String {
    format!("{MARK}{}\n{body}", sha256(body))
}

/// Parses and checks a [`Manifest`] or [`Cubins`].
///
/// # Errors
/// A sentence that says what is wrong: not ours, cut short or edited, another format, unknown fields.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let text = str::from_utf8(text).map_err(|_| "not a text file")?;
    let Some((hash, body)) = text
        .strip_prefix(MARK)
        .and_then(|rest| rest.split_once('\n'))
    else {
        return Err("not a manifest of nvfp4gen, or its first line is lost".into());
    };
    if sha256(body) != hash {
        return Err(
            "truncated or edited: its content does not have the hash in its first line".into(),
        );
    }
    check_format(body)?;
    toml::from_str(body).map_err(|error| format!("cannot be understood: {}", error.message()))
}

/// Whether `text` was written by us, intact or not.
pub fn is_ours(text: &[u8]) -> bool {
    text.starts_with(MARK.as_bytes())
}

/// The version is looked at alone and first: another format may have other fields.
fn check_format(body: &str) -> Result<(), String> {
    let table: toml::Table = body
        .parse()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(format) if format == i64::from(FORMAT) => Ok(()),
        Some(format) => Err(format!(
            "has format {format}, and this nvfp4gen reads format {FORMAT}"
        )),
        None => Err("does not say its format".into()),
    }
}

fn write_entry(out: &mut String, entry: &KernelEntry) {
    out.push_str("\n[[kernel]]\n");
    line(out, "key", &entry.key);
    line(out, "name", &entry.name);
    line(out, "file", &entry.file);
    line(out, "sha256", &entry.sha256);
    line(out, "function", &entry.function);
    line(out, "ptx_version", &entry.ptx_version);
    line(out, "tiles", &entry.tiles);
    line(out, "stages", &entry.stages);
    if entry.split_k != 1 {
        line(out, "split_k", &entry.split_k);
    }
    line(out, "tensor_memory_columns", &entry.tensor_memory_columns);
    line(out, "sizes", &entry.sizes);
    line(out, "launch", &entry.launch);
    line(out, "schedule", &entry.schedule);
    out.push_str("\n[kernel.parameters]\n");
    line(out, "location", &entry.parameters.location);
    line(out, "bytes", &entry.parameters.bytes);
    line(out, "alignment", &entry.parameters.alignment);
    if entry.parameters.workspace_bytes != 0 {
        line(out, "workspace_bytes", &entry.parameters.workspace_bytes);
        line(out, "workspace_offset", &entry.parameters.workspace_offset);
    }
    list(out, "tensor_maps", &entry.parameters.tensor_maps);
    list(out, "pointers", &entry.parameters.pointers);
}

fn line(out: &mut String, name: &str, value: &impl Serialize) {
    out.push_str(&format!("{name} = {}\n", inline(value)));
}

fn list(out: &mut String, name: &str, values: &[impl Serialize]) {
    out.push_str(&format!("{name} = [\n"));
    for value in values {
        out.push_str(&format!("    {},\n", inline(value)));
    }
    out.push_str("]\n");
}

/// A value on one line, tables in braces.
fn inline(value: &impl Serialize) -> String {
    let mut text = String::new();
    let done = value.serialize(toml::ser::ValueSerializer::new(&mut text));
    debug_assert!(
        done.is_ok(),
        "numbers, strings, lists and tables of them always serialise"
    );
    text
}
