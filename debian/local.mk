# debian: packages; tests/packages/run builds and installs them.
EXTRA_DIST += debian/changelog debian/control debian/copyright debian/rules debian/source/format \
	debian/ottla-broker.install debian/ottla-broker.postinst debian/ottla-common.install \
	debian/ottla-common.postinst debian/ottla-common.postrm debian/ottla-controller.install \
	debian/ottla-controller.postinst debian/ottla-tools.install tests/packages/run tests/packages/boot
