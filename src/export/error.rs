use std::fmt;

/// Why there is no exported file.
#[derive(Debug)]
pub enum ExportError {
    /// There are no kernels.
    Empty,
    /// Two sets have the same sizes and differ in their options.
    SameSizes {
        /// Their names.
        sets: [String; 2],
    },
    /// A set is so large that its addresses do not fit a kernel's parameters.
    Table {
        /// Its name.
        set: String,
        /// Its groups.
        groups: usize,
    },
    /// Early starts were asked for, and a kernel does not wait for the one before it.
    NotProgrammatic {
        /// The set's name.
        set: String,
    },
    /// Machine code was asked for, and a kernel has none.
    NoCubin {
        /// The set's name.
        set: String,
    },
    /// A tensor map has elements of a type that submissions do not know.
    Element {
        /// The set's name.
        set: String,
        /// The type.
        element: String,
    },
    /// No encoding of a kernel is without the letters that the contest refuses.
    Blob {
        /// The set's name.
        set: String,
    },
    /// The file would have the letters that the contest refuses.
    Forbidden {
        /// In which line.
        line: usize,
        /// The line, or its beginning.
        content: String,
    },
    /// The template failed.
    Template(askama::Error),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no set to export"),
            Self::SameSizes { sets: [a, b] } => write!(
                f,
                "sets `{a}` and `{b}` have the same sizes: a submission chooses by sizes alone; remove one"
            ),
            Self::Table { set, groups } => write!(
                f,
                "set `{set}`: the addresses of {groups} groups do not fit a kernel's parameters, and a submission has no \
                 table in device memory; split the set, or use the package or the library"
            ),
            Self::NotProgrammatic { set } => write!(
                f,
                "set `{set}`: its kernel has no griddepcontrol.wait, so it must not be started early; export without \
                 --programmatic"
            ),
            Self::NoCubin { set } => write!(
                f,
                "set `{set}`: it has no machine code, because no ptxas was found; run scripts/fetch-tools or set \
                 NVFP4GEN_PTXAS, or export without --cubin"
            ),
            Self::Element { set, element } => write!(
                f,
                "set `{set}`: its tensor maps have elements of the type {element}, which submissions do not know; use the \
                 package or the library"
            ),
            Self::Blob { set } => write!(
                f,
                "set `{set}`: the contest's robot would refuse its kernel in every encoding; change the set a little, \
                 such as its name"
            ),
            Self::Forbidden { line, content } => write!(
                f,
                "the contest's robot would refuse the file: it has the letters s, t, r, e, a, m in a row in line {line} \
                 (`{content}`); rename the set"
            ),
            Self::Template(error) => write!(f, "the template failed: {error}"),
        }
    }
}

impl std::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Template(error) => Some(error),
            _ => None,
        }
    }
}
