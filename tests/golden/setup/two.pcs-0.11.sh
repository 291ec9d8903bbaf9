pcs cluster cib pgsql.xml
pcs -f pgsql.xml property set stonith-enabled=true no-quorum-policy=ignore cluster-recheck-interval=2min
pcs -f pgsql.xml resource create pgsql ocf:heartbeat:expgsql 'distlock_conninfo=host=arbiter dbname=ha user=expgsql' distlock_lockname=pgsql_cls1 distlock_ttl=15 enable_distlock=true logfile=/var/log/postgresql/expgsql.log master_ip=192.0.2.10 'node_list=node1 node2' passfile=/var/lib/postgresql/.pgpass pgctl=/usr/pgsql-17/bin/pg_ctl pgdata=/pgsql/data pgport=5433 psql=/usr/pgsql-17/bin/psql rep_mode=sync replication_slot_name=standby repuser=replication op start interval=0s timeout=60s on-fail=restart op monitor interval=4s timeout=60s on-fail=restart op monitor interval=3s timeout=60s on-fail=restart role=Promoted op promote interval=0s timeout=60s on-fail=restart op demote interval=0s timeout=60s on-fail=restart op stop interval=0s timeout=60s on-fail=block op notify interval=0s timeout=60s
pcs -f pgsql.xml resource promotable pgsql msPostgresql meta clone-node-max=1 migration-threshold=3 notify=true promoted-max=1 promoted-node-max=1 resource-stickiness=10000
pcs -f pgsql.xml resource create vip-master ocf:heartbeat:IPaddr2 cidr_netmask=24 ip=192.0.2.10 op start interval=0s timeout=60s on-fail=restart op monitor interval=10s timeout=60s on-fail=restart op stop interval=0s timeout=60s on-fail=block
pcs -f pgsql.xml resource group add master-group vip-master
pcs -f pgsql.xml resource meta master-group migration-threshold=3 resource-stickiness=10000
pcs -f pgsql.xml constraint colocation add master-group with Promoted msPostgresql INFINITY id=pgsql-writer-beside-primary
pcs -f pgsql.xml constraint order promote msPostgresql then start master-group kind=Mandatory symmetrical=false id=pgsql-promote-then-writer
pcs -f pgsql.xml constraint order demote msPostgresql then stop master-group kind=Optional symmetrical=false id=pgsql-demote-then-writer
pcs cluster cib-push pgsql.xml
