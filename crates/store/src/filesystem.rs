//! Which kind of filesystem a path is on.
//!
//! Locks and memory maps of one file on several machines do not work as on one: databases break
//! there, and renames are seen late.

use std::io;
use std::path::{Path, PathBuf};

use crate::links::directory_of;

/// Where the files of a directory are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// On this machine, or not known to be elsewhere.
    Local,
    /// On another machine, by this protocol.
    Network(&'static str),
}

/// Magic numbers of statfs(2), and what they stand for.
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x0102_1997, "9p"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564C, "NCP"),
    (0x0BD0_0BD0, "Lustre"),
    (0x00C3_6400, "Ceph"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0xAAD7_AAEA, "PanFS"),
];

/// Magic number of all filesystems in user space, local and not.
const FUSE: u32 = 0x6573_5546;

/// Types of filesystems in user space, as in the table of mounts, which are on another machine.
const FUSE_NETWORK: &[(&str, &str)] = &[
    ("fuse.sshfs", "sshfs"),
    ("fuse.s3fs", "s3fs"),
    ("fuse.mount-s3", "mount-s3"),
    ("fuse.goofys", "goofys"),
    ("fuse.gcsfuse", "gcsfuse"),
    ("fuse.blobfuse", "blobfuse"),
    ("fuse.blobfuse2", "blobfuse"),
    ("fuse.rclone", "rclone"),
    ("fuse.glusterfs", "GlusterFS"),
    ("fuse.ceph-fuse", "Ceph"),
    ("fuse.juicefs", "JuiceFS"),
    ("fuse.smbnetfs", "SMB"),
    ("fuse.davfs2", "WebDAV"),
    ("fuse.dbfs", "DBFS"),
];

/// The kind of filesystem of a path, or of the nearest directory above that exists.
///
/// # Errors
///
/// What the system said, such as no permission to look.
pub fn kind(path: &Path) -> io::Result<Filesystem> {
    let existing = nearest_existing(path)?;
    // The width and sign of the field differ between systems; the numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = rustix::fs::statfs(&existing)?.f_type as u32;
    if magic == FUSE {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        return Ok(mount_type(&mounts, &existing).map_or(Filesystem::Local, fuse_kind));
    }
    let known = NETWORK.iter().find(|(number, _)| *number == magic);
    Ok(known.map_or(Filesystem::Local, |(_, protocol)| Filesystem::Network(protocol)))
}

/// Whether a filesystem in user space, by its type, is on another machine.
fn fuse_kind(mount_type: &str) -> Filesystem {
    let known = FUSE_NETWORK.iter().find(|(name, _)| *name == mount_type);
    known.map_or(Filesystem::Local, |(_, protocol)| Filesystem::Network(protocol))
}

/// The path, or the nearest directory above, without symlinks.
fn nearest_existing(path: &Path) -> io::Result<PathBuf> {
    let mut path = path;
    loop {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path != directory_of(path) => {
                path = directory_of(path);
            }
            found => return found,
        }
    }
}

/// The type of the filesystem in which the path lies, from a table of mounts: proc(5), mountinfo.
fn mount_type<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let lines = mounts.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let point = unescape(front.split(' ').nth(4)?);
        path.starts_with(&point).then_some((point.len(), back.split(' ').next()?))
    });
    // Of mounts on one point the last hides the others.
    lines.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// Spaces, tabs, line ends and backslashes are written as octal numbers in the table of mounts.
fn unescape(point: &str) -> String {
    ["040 ", "011\t", "012\n", "134\\"].iter().fold(point.to_owned(), |text, pair| {
        let (number, character) = pair.split_at(3);
        text.replace(&format!("\\{number}"), character)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /mnt/my\\040data rw,nosuid - fuse.sshfs host:/ rw
41 22 0:51 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
42 22 0:52 / /mnt/ntfs rw shared:7 master:2 - fuse.rclone remote: rw";

    #[test]
    fn the_longest_and_last_mount_counts() {
        let kind = |path| mount_type(MOUNTS, Path::new(path));
        assert_eq!(kind("/mnt/my data/cache"), Some("fuse.sshfs"));
        assert_eq!(kind("/mnt/ntfs"), Some("fuse.rclone"));
        assert_eq!(kind("/mnt/my"), Some("ext4"));
        assert_eq!(kind("relative"), None);
    }

    #[test]
    fn user_space_filesystems_are_told_apart() {
        assert_eq!(fuse_kind("fuse.sshfs"), Filesystem::Network("sshfs"));
        assert_eq!(fuse_kind("fuseblk"), Filesystem::Local);
    }

    #[test]
    fn a_path_that_does_not_exist_yet_is_where_its_directory_is() {
        let directory = tempfile::tempdir().unwrap();
        let here = kind(directory.path()).unwrap();
        assert_eq!(kind(&directory.path().join("not/yet")).unwrap(), here);
        assert_eq!(kind(Path::new("/proc/self")).unwrap(), Filesystem::Local);
    }
}
