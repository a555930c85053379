// Package image brings disk images in and out: from and to files and web servers,
// in every format that qemu-img knows and nobody can turn against the service.
//
// An image comes from strangers. What is done about that:
//
//   - An address is checked when it is connected to, after the name was resolved,
//     and again at every redirect: private, loopback and link-local ones only where
//     the operator allows them. Files are opened below allowed directories only,
//     and no symbolic link leads out of one.
//   - The format is found by parsers of our own, which read headers and nothing
//     else, and fail on what they do not understand whole. qemu-img never guesses:
//     it is told the format. What would have it open further files (backing
//     files, external data, extents, parents), and what is encrypted, is refused.
//   - The size that the guest will see is known before a byte is written.
//   - qemu-img runs as a child with bounds on its memory, its time on the CPU, and
//     the time it may go without progress. It dies with this process.
//
// The package knows nothing of volumes, rows, messages or Ceph: a backend tells
// qemu-img where to write by the options of a block node.
package image
