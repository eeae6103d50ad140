# tools: `ottla`, one multi-call program, and what builds and runs the rest.
noinst_LIBRARIES += libottla_tools.a
libottla_tools_a_SOURCES = \
	tools/api_versions.c tools/api_versions.h \
	tools/args.c tools/args.h \
	tools/assignor.c tools/assignor.h \
	tools/by_leader.c tools/by_leader.h \
	tools/cluster_client.c tools/cluster_client.h \
	tools/config_client.c tools/config_client.h \
	tools/configs.c tools/configs.h \
	tools/configs_text.c tools/configs_text.h \
	tools/consume.c tools/consume.h \
	tools/consumer.c tools/consumer.h \
	tools/delete_records.c tools/delete_records.h \
	tools/dump.c tools/dump.h \
	tools/dump_records.c tools/dump_records.h \
	tools/dump_text.c tools/dump_text.h \
	tools/elect.c tools/elect.h \
	tools/format.c tools/format.h \
	tools/get_offsets.c tools/get_offsets.h \
	tools/groups.c tools/groups.h \
	tools/groups_client.c \
	tools/groups_text.c \
	tools/lines.c tools/lines.h \
	tools/log_dirs.c tools/log_dirs.h \
	tools/log_dirs_text.c tools/log_dirs_text.h \
	tools/member.c tools/member.h \
	tools/overview.c tools/overview.h \
	tools/overview_text.c tools/overview_text.h \
	tools/partitioner.c tools/partitioner.h \
	tools/produce.c tools/produce.h \
	tools/producer.c tools/producer.h \
	tools/reassign.c tools/reassign.h \
	tools/reassign_dirs.c tools/reassign_dirs.h \
	tools/reassign_text.c tools/reassign_text.h \
	tools/reassign_throttle.c tools/reassign_throttle.h \
	tools/topics.c tools/topics.h \
	tools/topics_brokers.c \
	tools/topics_text.c tools/topics_text.h \
	tools/topics_zookeeper.c \
	tools/usage.c tools/usage.h \
	tools/zookeeper_client.c tools/zookeeper_client.h

bin_PROGRAMS += ottla
ottla_SOURCES = tools/ottla.c
ottla_LDADD = libottla_tools.a $(COMMON_LIBS)

EXTRA_DIST += tools/README.md

# Kafka's names for starting and ending a broker.
SERVER_NAMES = tools/kafka-server-start.sh tools/kafka-server-stop.sh
dist_bin_SCRIPTS += $(SERVER_NAMES)

# Kafka's names for the same commands, with .sh and without: `ottla --help` knows them.
INSTALLS += install-names
UNINSTALLS += uninstall-names
kafka_names = ./ottla --help | sed -n 's/.*(as \(kafka-[a-z-]*\))$$/\1/p'
install-names: ottla$(EXEEXT)
	$(MKDIR_P) "$(DESTDIR)$(bindir)"
	for name in $$($(kafka_names)); do \
	    for link in $$name $$name.sh; do ln -sf ottla "$(DESTDIR)$(bindir)/$$link" || exit 1; done; \
	done
	for name in start stop; do \
	    ln -sf kafka-server-$$name.sh "$(DESTDIR)$(bindir)/kafka-server-$$name" || exit 1; done
# Manual pages and completion, from what the programs print with --help.
EXTRA_DIST += tools/manual.py
all-local: manual/stamp
CLEAN_LOCAL += clean-manual
manual/stamp: ottla$(EXEEXT) ottla-broker$(EXEEXT) ottla-controller$(EXEEXT) $(srcdir)/tools/manual.py $(SERVER_NAMES)
	$(AM_V_GEN)$(PYTHON) $(srcdir)/tools/manual.py manual $(PACKAGE_VERSION) ./ottla ./ottla-broker ./ottla-controller \
	    $(SERVER_NAMES:%=$(srcdir)/%)
	@$(MKDIR_P) manual && touch $@
clean-manual:
	rm -rf manual
INSTALLS += install-manual
UNINSTALLS += uninstall-manual
completiondir = $(datadir)/bash-completion/completions
install-manual: manual/stamp
	$(MKDIR_P) "$(DESTDIR)$(mandir)/man1" "$(DESTDIR)$(mandir)/man8" "$(DESTDIR)$(completiondir)"
	for page in manual/*.[18]; do \
	    test ! -f "$$page" || $(INSTALL_DATA) "$$page" "$(DESTDIR)$(mandir)/man$${page##*.}/" || exit 1; \
	done
	test ! -f manual/ottla.bash || $(INSTALL_DATA) manual/ottla.bash "$(DESTDIR)$(completiondir)/ottla"
	test ! -f manual/ottla.bash || for name in $$(sed 1d manual/ottla.bash.names); do \
	    ln -sf ottla "$(DESTDIR)$(completiondir)/$$name" || exit 1; done
uninstall-manual: manual/stamp
	for page in manual/*.[18]; do rm -f "$(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/}"; done
	test ! -f manual/ottla.bash || for name in $$(cat manual/ottla.bash.names); do \
	    rm -f "$(DESTDIR)$(completiondir)/$$name"; done

uninstall-names: ottla$(EXEEXT)
	for name in $$($(kafka_names)); do rm -f "$(DESTDIR)$(bindir)/$$name" "$(DESTDIR)$(bindir)/$$name.sh"; done
	rm -f "$(DESTDIR)$(bindir)/kafka-server-start" "$(DESTDIR)$(bindir)/kafka-server-stop"

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_api_versions
check_PROGRAMS += tests/unit/test_args tests/unit/test_assignor tests/unit/test_configs_text tests/unit/test_dump tests/unit/test_dump_records tests/unit/test_dump_text tests/unit/test_elect \
	tests/unit/test_format tests/unit/test_get_offsets tests/unit/test_groups_text tests/unit/test_lines tests/unit/test_overview_text \
	tests/unit/test_partitioner \
	tests/unit/test_reassign_dirs tests/unit/test_reassign_text tests/unit/test_reassign_throttle \
	tests/unit/test_topics_text
tests_unit_test_api_versions_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_args_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_assignor_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_configs_text_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_dump_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_dump_text_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_dump_records_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_elect_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_format_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_get_offsets_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_groups_text_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_lines_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_overview_text_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_partitioner_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_reassign_dirs_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_reassign_text_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_reassign_throttle_LDADD = libottla_tools.a $(LDADD)
tests_unit_test_topics_text_LDADD = libottla_tools.a $(LDADD)
endif
