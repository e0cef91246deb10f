//! A folder's documents as a whole.

use std::{fs, io};

use ysyncd_engine::{DocId, Snapshot, StoreError};

use super::{
    DiskStore,
    folder::{Folder, unless_missing},
    layout::Place,
    save_error, store_error,
};
use crate::{
    StoreFuture,
    catalog::{Catalog, Listed, Page, PageMark, Version, VersionId},
    object_name,
};

impl Catalog for DiskStore {
    fn list<'a>(&'a self, id_prefix: &'a str, _: Option<PageMark>) -> StoreFuture<'a, Page> {
        let id_prefix = id_prefix.to_owned();
        let operation = move |folder: &Folder| {
            let documents = list(folder, &id_prefix)
                .map_err(|error| store_error(folder.path(), "list documents", &error))?;
            let next = None;
            Ok(Page { documents, next })
        };
        Box::pin(self.run(operation, StoreError::Unavailable))
    }

    fn versions<'a>(&'a self, _: &'a DocId) -> StoreFuture<'a, Vec<Version>> {
        Box::pin(async { Err(no_versions()) })
    }

    fn load_version<'a>(
        &'a self,
        _: &'a DocId,
        _: &'a VersionId,
    ) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async { Err(no_versions()) })
    }

    fn delete<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, bool> {
        let doc = doc.clone();
        let operation = move |folder: &Folder| {
            folder
                .delete(&doc)
                .map_err(|error| save_error(folder.path(), error))
        };
        Box::pin(self.run(operation, StoreError::Unknown))
    }
}

fn no_versions() -> StoreError {
    StoreError::Denied("a folder keeps no versions: restore the file from a backup".to_owned())
}

/// Files come and go meanwhile; what is gone is left out.
fn list(folder: &Folder, id_prefix: &str) -> io::Result<Vec<Listed>> {
    let mut found = Vec::new();
    folder.find_files(|name, place| {
        let doc = object_name::doc_id(name);
        // A file in a subfolder may have a name that belongs elsewhere.
        let doc = doc.filter(|doc| Place::of(doc).file == place);
        if let Some(doc) = doc.filter(|doc| doc.as_str().starts_with(id_prefix)) {
            found.push((doc, folder.path().join(place)));
        }
    })?;
    let mut listed = Vec::with_capacity(found.len());
    for (doc, file) in found {
        let Some(metadata) = unless_missing(fs::metadata(file))? else {
            continue;
        };
        if metadata.is_file() {
            listed.push(Listed {
                doc,
                size_bytes: metadata.len(),
                modified: metadata.modified().ok(),
                etag: None,
            });
        }
    }
    Ok(listed)
}
