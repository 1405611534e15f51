//! The header says what the library exports.

use std::path::Path;

#[test]
fn the_header_is_what_the_source_gives() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(home.join("cbindgen.toml")).expect("a configuration");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["border", "handles", "launch", "graph"] {
        builder = builder.with_src(home.join("src").join(format!("{file}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().expect("bindings").write(&mut text);
    let text = String::from_utf8(text).expect("text");
    let path = home.join("include/nvfp4gen.h");
    if std::env::var_os("NVFP4GEN_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the header");
    }
    let present = std::fs::read_to_string(&path).expect("the header");
    assert!(
        present == text,
        "include/nvfp4gen.h is stale: NVFP4GEN_BLESS=1 cargo test -p nvfp4gen-capi"
    );
}
