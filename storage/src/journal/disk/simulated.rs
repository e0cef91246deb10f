//! A disk in memory that loses what was not synced, and fails when told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use super::device::{Device, DeviceFile, Lock};

/// What a disk loses at once, if anything of it.
const SECTOR: usize = 512;

/// The disk. A process uses it through a [`SimulatedDevice`].
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, usize>,
    durable_files: BTreeMap<PathBuf, usize>,
    /// Changes of names that no sync of their folder has made durable.
    pending: Vec<Change>,
    folders: BTreeSet<PathBuf>,
    inodes: Vec<Inode>,
    /// Which process holds a lock.
    locked: BTreeMap<PathBuf, usize>,
    processes: usize,
    salts: u8,
    fault: Option<Fault>,
    /// The error of the next sync of a file that was synced before.
    sync_fault: Option<SyncFault>,
    /// The error of every read.
    unreadable: Option<io::ErrorKind>,
    /// A process that is killed at a coming change: after how many others.
    death: Option<(usize, Process)>,
    /// A process that is killed once it has removed a file.
    remover: Option<Process>,
    /// Most bytes of all files.
    capacity: Option<usize>,
}

#[derive(Debug, Clone)]
enum Change {
    Name(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

/// What a file holds: what is read, and what the disk has.
#[derive(Debug, Clone, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// Bytes that a failed sync has dropped: they can be read, but no later
    /// sync writes them.
    dropped: Vec<std::ops::Range<usize>>,
}

/// Fails a coming change of the disk, and all after it until it is healed.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// How many changes come before it.
    pub after: usize,
    /// The error that is given.
    pub kind: io::ErrorKind,
}

/// Fails one sync of a file, of those that were synced before. As Linux does,
/// it drops what it was to write, and the next one succeeds.
#[derive(Debug, Clone, Copy)]
pub struct SyncFault {
    /// The error that is given.
    pub kind: io::ErrorKind,
    /// Whether what was dropped cannot even be read any more.
    pub forgets: bool,
}

/// One of these is a process: it can be killed.
pub struct SimulatedDevice {
    disk: SimulatedDisk,
    process: Process,
}

#[derive(Debug, Clone)]
struct Process {
    number: usize,
    killed: Arc<AtomicBool>,
}

impl fmt::Debug for SimulatedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedDevice")
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    process: Process,
    inode: usize,
}

#[derive(Debug)]
struct SimulatedLock {
    disk: SimulatedDisk,
    file: PathBuf,
    process: usize,
}

impl SimulatedDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("nothing panics while it holds the lock")
    }

    /// A process that uses the disk.
    #[must_use]
    pub fn device(&self) -> Arc<SimulatedDevice> {
        let mut state = self.state();
        state.processes += 1;
        let process = Process {
            number: state.processes,
            killed: Arc::default(),
        };
        let disk = self.clone();
        Arc::new(SimulatedDevice { disk, process })
    }

    /// Cuts the power. `choose(n)` decides, with a number below `n`, what of
    /// all that was not durable is there nevertheless.
    pub fn lose_power(&self, mut choose: impl FnMut(usize) -> usize) {
        let mut state = self.state();
        state.make_names_durable(|_| choose(2) == 0);
        state.files = state.durable_files.clone();
        for inode in &mut state.inodes {
            let durable = inode.durable_if_synced();
            let mut left = inode.durable.clone();
            let len = left.len() + choose(durable.len() - left.len() + 1);
            left.resize(len, 0);
            for sector in (inode.durable.len() / SECTOR * SECTOR..len).step_by(SECTOR) {
                if choose(3) > 0 {
                    let new = sector.max(inode.durable.len())..len.min(sector + SECTOR);
                    left[new.clone()].copy_from_slice(&durable[new]);
                }
            }
            *inode = Inode {
                content: left.clone(),
                durable: left,
                dropped: vec![],
            };
        }
    }

    /// Has changes fail.
    pub fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Has one sync fail.
    pub fn fail_next_sync(&self, fault: SyncFault) {
        self.state().sync_fault = Some(fault);
    }

    /// Loses all files.
    pub fn wipe(&self) {
        let mut state = self.state();
        state.files.clear();
        state.durable_files.clear();
        state.pending.clear();
        state.folders.clear();
    }

    /// Has reads fail.
    pub fn fail_reads(&self, kind: io::ErrorKind) {
        self.state().unreadable = Some(kind);
    }

    /// Has nothing fail any more, and all of it fit.
    pub fn heal(&self) {
        let mut state = self.state();
        state.fault = None;
        state.sync_fault = None;
        state.unreadable = None;
        state.capacity = None;
        state.death = None;
        state.remover = None;
    }

    /// Makes room for so many bytes more, and for no others.
    pub fn limit(&self, bytes_more: usize) {
        let mut state = self.state();
        state.capacity = Some(state.used() + bytes_more);
    }

    /// A disk of its own with the same durable content.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            durable_files: state.files.clone(),
            folders: state.folders.clone(),
            inodes: state.inodes.clone(),
            ..State::default()
        })))
    }

    /// All files, and what can be read in them.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let files = state.files.iter();
        files
            .map(|(path, inode)| (path.clone(), state.inodes[*inode].content.clone()))
            .collect()
    }

    /// Changes a file behind everybody's back.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let inode = state.files[path];
        let inode = &mut state.inodes[inode];
        change(&mut inode.content);
        inode.durable = inode.content.clone();
    }
}

impl State {
    fn used(&self) -> usize {
        let used = self.files.values().collect::<BTreeSet<_>>();
        used.into_iter()
            .map(|n| self.inodes[*n].content.len())
            .sum()
    }

    /// Called before every change; tells whether to fail it.
    fn check_fault(&mut self) -> io::Result<()> {
        if let Some((changes, process)) = self.death.take() {
            if changes == 0 {
                process.killed.store(true, Ordering::SeqCst);
                self.unlock(process.number);
                return Err(killed());
            }
            self.death = Some((changes - 1, process));
        }
        match &mut self.fault {
            Some(Fault { after: 0, kind }) => Err((*kind).into()),
            Some(Fault { after, .. }) => {
                *after -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whoever is to die once it has removed a file dies.
    fn kill_remover(&mut self, process: &Process) -> io::Result<()> {
        let is_due = |remover: &mut Process| remover.number == process.number;
        match self.remover.take_if(is_due) {
            Some(remover) => {
                remover.killed.store(true, Ordering::SeqCst);
                self.unlock(remover.number);
                Err(killed())
            }
            None => Ok(()),
        }
    }

    /// A process is gone, and its locks with it.
    fn unlock(&mut self, process: usize) {
        self.locked.retain(|_, holder| *holder != process);
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.files, &change);
        self.pending.push(change);
    }

    fn make_names_durable(&mut self, mut is_kept: impl FnMut(&Change) -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if is_kept(&change) {
                apply(&mut self.durable_files, &change);
            }
        }
    }
}

fn apply(files: &mut BTreeMap<PathBuf, usize>, change: &Change) {
    match change {
        Change::Name(path, inode) => _ = files.insert(path.clone(), *inode),
        Change::Remove(path) => _ = files.remove(path),
        Change::Rename(from, to, inode) => {
            files.remove(from);
            files.insert(to.clone(), *inode);
        }
    }
}

impl Inode {
    fn durable_if_synced(&self) -> Vec<u8> {
        let mut durable = self.content.clone();
        for dropped in &self.dropped {
            durable[dropped.clone()].fill(0);
        }
        durable
    }
}

impl SimulatedDevice {
    /// Ends the process; what it has written stays to be read.
    pub fn kill(&self) {
        self.process.killed.store(true, Ordering::SeqCst);
        let mut state = self.disk.state();
        state.unlock(self.process.number);
        state
            .death
            .take_if(|(_, process)| process.number == self.process.number);
        state
            .remover
            .take_if(|process| process.number == self.process.number);
    }

    /// Ends the process in the middle of one of its coming changes.
    pub fn kill_at_change(&self, after: usize) {
        self.disk.state().death = Some((after, self.process.clone()));
    }

    /// Ends the process once it has removed a file.
    pub fn kill_at_removal(&self) {
        self.disk.state().remover = Some(self.process.clone());
    }

    /// Whether the process has ended.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.process.is_killed()
    }

    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        self.process.check()?;
        Ok(self.disk.state())
    }
}

impl Process {
    fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    fn check(&self) -> io::Result<()> {
        match self.is_killed() {
            true => Err(killed()),
            false => Ok(()),
        }
    }
}

fn killed() -> io::Error {
    io::Error::other("the process was killed")
}

fn found<T>(found: Option<T>) -> io::Result<T> {
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Device for SimulatedDevice {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.state()?.folders.insert(folder.to_owned());
        Ok(())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let state = self.state()?;
        let all = state.files.keys().chain(&state.folders);
        let inside = all.filter(|path| path.parent() == Some(folder));
        Ok(inside
            .filter_map(|path| Some(path.file_name()?.to_owned()))
            .collect())
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DeviceFile>> {
        let mut state = self.state()?;
        state.check_fault()?;
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change(Change::Name(file.to_owned(), inode));
        let (disk, process) = (self.disk.clone(), self.process.clone());
        Ok(Box::new(SimulatedFile {
            disk,
            process,
            inode,
        }))
    }

    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        let state = self.state()?;
        if let Some(kind) = state.unreadable {
            return Err(kind.into());
        }
        let inode = *found(state.files.get(file))?;
        Ok(state.inodes[inode].content.clone())
    }

    fn read_at(&self, file: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let content = self.read(file)?;
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| content.get(at..));
        let part = rest.and_then(|rest| rest.get(..len));
        part.map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        state.check_fault()?;
        let inode = *found(state.files.get(from))?;
        state.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        state.check_fault()?;
        found(state.files.get(file))?;
        state.change(Change::Remove(file.to_owned()));
        state.kill_remover(&self.process)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let is_empty = self.names(folder)?.is_empty();
        assert!(is_empty, "{folder:?} is not empty");
        self.state()?.folders.remove(folder);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        state.check_fault()?;
        let is_inside = |change: &Change| {
            let (Change::Name(path, _) | Change::Remove(path) | Change::Rename(path, ..)) = change;
            path.parent() == Some(folder)
        };
        let (inside, others) = state.pending.drain(..).partition(is_inside);
        state.pending = inside;
        state.make_names_durable(|_| true);
        state.pending = others;
        Ok(())
    }

    fn lock(&self, file: &Path, _wait: bool) -> io::Result<Option<Lock>> {
        let process = self.process.number;
        let mut state = self.state()?;
        if state.locked.contains_key(file) {
            return Ok(None);
        }
        state.locked.insert(file.to_owned(), process);
        let (disk, file) = (self.disk.clone(), file.to_owned());
        Ok(Some(Box::new(SimulatedLock {
            disk,
            file,
            process,
        })))
    }

    fn salt(&self) -> io::Result<[u8; 16]> {
        let mut state = self.state()?;
        state.salts = state.salts.wrapping_add(1);
        Ok([state.salts; 16])
    }
}

impl DeviceFile for SimulatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.process.check()?;
        let mut state = self.disk.state();
        let fault = state.check_fault();
        let room = state.capacity.map(|most| most.saturating_sub(state.used()));
        let mut fits = room.unwrap_or(usize::MAX).min(bytes.len());
        if fault.is_err() {
            fits /= 2;
        }
        state.inodes[self.inode].content.extend(&bytes[..fits]);
        fault?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.process.check()?;
        let mut state = self.disk.state();
        let mut fault = state.check_fault();
        let mut forgets = false;
        let is_old = !state.inodes[self.inode].durable.is_empty();
        if fault.is_ok()
            && is_old
            && let Some(sync_fault) = state.sync_fault.take()
        {
            fault = Err(sync_fault.kind.into());
            forgets = sync_fault.forgets;
        }
        let inode = &mut state.inodes[self.inode];
        if fault.is_err() {
            inode.dropped.push(inode.durable.len()..inode.content.len());
        } else {
            inode.durable = inode.durable_if_synced();
        }
        if forgets {
            inode.content = inode.durable_if_synced();
        }
        fault
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locked.get(&self.file) == Some(&self.process) {
            state.locked.remove(&self.file);
        }
    }
}
