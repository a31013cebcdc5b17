//! I-STO-8: who reads a file keeps it, and whoever opens, closes or removes one keeps nobody from
//! another.

use super::*;
use crate::disk::{Disk, DiskFile, MemDisk, Recycler};
use crate::layout::{FileHeader, FileRole, HEADER_KEY};
use std::{io, sync::mpsc, time::Duration};

const ROW: FileRow = FileRow {
    role: FileRole::Lane,
    generation: 0,
    cut: None,
};

const STORE: u64 = 7;

type Hook = Box<dyn Fn() + Send + Sync>;

/// A disk that does something in the middle of opening or removing a file.
#[derive(Default)]
struct Hooked {
    disk: MemDisk,
    on_open: Mutex<Option<Hook>>,
    on_remove: Mutex<Option<Hook>>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooked").finish_non_exhaustive()
    }
}

impl Hooked {
    fn run(hook: &Mutex<Option<Hook>>) {
        let hook = hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl Disk for Hooked {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Self::run(&self.on_open);
        self.disk.open(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Self::run(&self.on_remove);
        self.disk.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Self::run(&self.on_remove);
        self.disk.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

fn make(files: &Files, id: u32) -> Kv {
    let kv = Kv::open(files.disk.create(&file_name(id, &ROW)).unwrap(), 1 << 20).unwrap();
    let header = FileHeader {
        store: STORE,
        file: id,
        role: FileRole::Lane,
    };
    kv.write(|change| change.put(HEADER_KEY, &header.encode()))
        .unwrap();
    kv
}

/// A table over two files that are closed and whole.
fn two_files() -> (Arc<Hooked>, Arc<Files>) {
    let hooked = Arc::new(Hooked::default());
    let disk = Recycler::over(hooked.clone()).unwrap();
    let files = Files::new(disk, STORE, 8);
    for id in 1..3 {
        make(&files, id).close().unwrap();
    }
    (hooked, Arc::new(files))
}

#[test]
fn a_file_that_is_about_to_be_used_again_is_not_leased() {
    for open_before in [false, true] {
        let (hooked, files) = two_files();
        if open_before {
            files.lease(1, &ROW).unwrap();
        }
        files.retire(1, file_name(1, &ROW));
        let (told, hears) = mpsc::channel();
        let mine = Arc::downgrade(&files);
        *hooked.on_remove.lock().unwrap() = Some(Box::new(move || {
            // What a reader does that looked in the book before the file left it.
            let files = mine.upgrade().unwrap();
            told.send(files.lease(1, &ROW).is_ok()).unwrap();
        }));
        assert_eq!(files.sweep().unwrap(), 1);
        assert!(!hears.try_recv().unwrap(), "it was leased while it left");
        assert!(files.lease(1, &ROW).is_err());
        assert!(files.lease(2, &ROW).is_ok());
    }
}

#[test]
fn a_failed_handle_keeps_its_file_as_long_as_it_is_read() {
    let (hooked, files) = two_files();
    files.pin(3, OpenFile::new(make(&files, 3)));
    let reader = files.lease(3, &ROW).unwrap();
    reader.kv.front().freeze();
    files.abandon(3);
    files.release(3);
    files.retire(3, file_name(3, &ROW));
    assert_eq!(files.sweep().unwrap(), 0);
    assert!(hooked.list().unwrap().contains(&file_name(3, &ROW)));
    drop(reader);
    assert_eq!(files.sweep().unwrap(), 1);
    assert!(!files.has_retired());
}

#[test]
fn opening_a_file_keeps_nobody_from_another() {
    let (hooked, files) = two_files();
    let held = files.lease(2, &ROW).unwrap();
    let (told, hears) = mpsc::channel();
    let mine = Arc::clone(&files);
    *hooked.on_open.lock().unwrap() = Some(Box::new(move || {
        let (done, waits) = mpsc::channel();
        let files = Arc::clone(&mine);
        let other = std::thread::spawn(move || {
            let leased = files.lease(2, &ROW).is_ok();
            // Nobody listens any more where this had to wait too long.
            let _ = done.send(leased);
        });
        let leased = waits.recv_timeout(Duration::from_secs(5));
        told.send((leased, other)).unwrap();
    }));
    files.lease(1, &ROW).unwrap();
    let (leased, other) = hears.try_recv().unwrap();
    other.join().unwrap();
    assert_eq!(leased, Ok(true), "a lease waited for another file");
    drop(held);
}

#[test]
fn whoever_wants_a_file_that_failed_waits_until_it_is_opened_anew() {
    let (_, files) = two_files();
    files.abandon(1);
    let mine = Arc::clone(&files);
    let reader = std::thread::spawn(move || {
        mine.lease(1, &ROW)
            .map(|lease| Arc::as_ptr(&lease) as usize)
    });
    let kv = Kv::open_overlaid(files.disk.open(&file_name(1, &ROW)).unwrap(), 1 << 20, None);
    let anew = OpenFile::new(kv.unwrap());
    files.pin(1, Arc::clone(&anew));
    assert_eq!(reader.join().unwrap().unwrap(), Arc::as_ptr(&anew) as usize);
}
