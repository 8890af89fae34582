# cpack -G DEB: nbdring_VERSION_ARCHITECTURE.deb. Tried by tests/package/.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME nbdring)
set(CPACK_PACKAGE_CONTACT "nbdring maintainers <maintainers@nbdring.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "attach files, remote disks and browser tabs to /dev/nbdN")
set(CPACK_PACKAGE_DESCRIPTION "\
nbdring attaches whatever holds bytes to a network block device: a local file,
a remote NBD export with TLS, over ssh or a websocket, any server that a
command starts, or a disk image that somebody has opened in a browser. The
device stays when what is behind it goes away, and when its own engine dies or
is upgraded.")
set(CPACK_STRIP_FILES ON)
# Files in /etc are packed from the staging folder like all others.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# ssh for nbd+ssh://; initramfs-tools for a root file system on a device; nbdkit for exec:; gnuplot for bench --plot.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "kmod, udev")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "gnuplot-nox, initramfs-tools, nbdkit, openssh-client")
set(scripts ${CMAKE_CURRENT_SOURCE_DIR}/debian)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${scripts}/conffiles ${scripts}/triggers ${scripts}/postinst ${scripts}/prerm ${scripts}/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
