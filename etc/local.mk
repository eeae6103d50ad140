# etc: units, user, folders, examples. Units name the programs where they are installed.
UNITS = etc/systemd/ottla-broker@.service etc/systemd/ottla-controller@.service etc/systemd/ottla.target
EXAMPLES = etc/examples/one-host/broker-1.properties etc/examples/one-host/controller-101.properties \
	etc/examples/three-hosts/broker-1.properties etc/examples/three-hosts/broker-2.properties \
	etc/examples/three-hosts/broker-3.properties etc/examples/three-hosts/controller-101.properties \
	etc/examples/three-hosts/controller-102.properties etc/examples/three-hosts/zoo.cfg
# For Prometheus and Grafana.
WATCHING = etc/prometheus/ottla.rules.yml etc/prometheus/ottla.rules.test.yml etc/grafana/ottla.json
EXTRA_DIST += $(WATCHING)
EXTRA_DIST += $(UNITS) $(EXAMPLES) etc/README.md docs/deployment.md

unitdir = $(prefix)/lib/systemd/system
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
dist_sysusers_DATA = etc/sysusers.d/ottla.conf
dist_tmpfiles_DATA = etc/tmpfiles.d/ottla.conf
dist_doc_DATA = etc/systemd/log-to-files.conf

INSTALLS += install-units
UNINSTALLS += uninstall-units
install-units:
	$(MKDIR_P) "$(DESTDIR)$(unitdir)"
	for unit in $(UNITS); do \
	    sed 's|/usr/bin/|$(bindir)/|' "$(srcdir)/$$unit" > "$(DESTDIR)$(unitdir)/$${unit##*/}" || exit 1; \
	    chmod 644 "$(DESTDIR)$(unitdir)/$${unit##*/}"; \
	done
	for example in $(EXAMPLES); do \
	    to="$(DESTDIR)$(docdir)/$${example#etc/}"; \
	    $(MKDIR_P) "$${to%/*}" && $(INSTALL_DATA) "$(srcdir)/$$example" "$$to" || exit 1; \
	done
	for file in etc/prometheus/ottla.rules.yml etc/grafana/ottla.json; do \
	    $(MKDIR_P) "$(DESTDIR)$(docdir)/watching" && \
	        $(INSTALL_DATA) "$(srcdir)/$$file" "$(DESTDIR)$(docdir)/watching/" || exit 1; \
	done
uninstall-units:
	for unit in $(UNITS); do rm -f "$(DESTDIR)$(unitdir)/$${unit##*/}"; done
	rm -rf "$(DESTDIR)$(docdir)/examples" "$(DESTDIR)$(docdir)/watching"
