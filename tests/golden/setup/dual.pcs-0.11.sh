pcs cluster cib pgsql.xml
pcs -f pgsql.xml property set stonith-enabled=false no-quorum-policy=ignore
pcs -f pgsql.xml resource create pgsql ocf:heartbeat:expgsql 'distlock_conninfo=host=node3 port=5439 dbname=postgres user=postgres connect_timeout=5' distlock_lockname=pgsql_cls1 distlock_ttl=12 enable_distlock=true logfile=/var/log/postgresql/expgsql.log master_ip=192.168.41.136 'node_list=node1 node2' passfile=/var/lib/postgresql/.pgpass pgdata=/data/postgresql/data 'primary_conninfo_opt=keepalives_idle=60 keepalives_interval=5 keepalives_count=5' rep_mode=sync repuser=replication op start interval=0s timeout=60s on-fail=restart op monitor interval=4s timeout=60s on-fail=restart op monitor interval=3s timeout=60s on-fail=restart role=Promoted op promote interval=0s timeout=60s on-fail=restart op demote interval=0s timeout=60s on-fail=restart op stop interval=0s timeout=60s on-fail=block op notify interval=0s timeout=60s
pcs -f pgsql.xml resource promotable pgsql msPostgresql meta clone-node-max=1 migration-threshold=3 notify=true promoted-max=1 promoted-node-max=1 resource-stickiness=10000
pcs -f pgsql.xml resource create vip-master ocf:heartbeat:IPaddr2 cidr_netmask=24 ip=192.168.41.136 nic=eno33554984 op start interval=0s timeout=60s on-fail=restart op monitor interval=10s timeout=60s on-fail=restart op stop interval=0s timeout=60s on-fail=block
pcs -f pgsql.xml resource create vip-slave ocf:heartbeat:IPaddr2 cidr_netmask=24 ip=192.168.41.137 nic=eno33554984 op start interval=0s timeout=60s on-fail=restart op monitor interval=10s timeout=60s on-fail=restart op stop interval=0s timeout=60s on-fail=block meta migration-threshold=3 resource-stickiness=1
pcs -f pgsql.xml resource group add master-group vip-master
pcs -f pgsql.xml resource meta master-group migration-threshold=3 resource-stickiness=10000
pcs -f pgsql.xml constraint colocation add master-group with Promoted msPostgresql INFINITY id=pgsql-writer-beside-primary
pcs -f pgsql.xml constraint order promote msPostgresql then start master-group kind=Mandatory symmetrical=false id=pgsql-promote-then-writer
pcs -f pgsql.xml constraint order demote msPostgresql then stop master-group kind=Optional symmetrical=false id=pgsql-demote-then-writer
pcs -f pgsql.xml constraint location vip-slave rule constraint-id=pgsql-reader-sync id=pgsql-reader-sync-rule score=200 pgsql-status eq HS:sync
pcs -f pgsql.xml constraint location vip-slave rule constraint-id=pgsql-reader-async id=pgsql-reader-async-rule score=100 pgsql-status eq HS:async
pcs -f pgsql.xml constraint location vip-slave rule constraint-id=pgsql-reader-unknown id=pgsql-reader-unknown-rule score=-INFINITY not_defined pgsql-status
pcs -f pgsql.xml constraint location vip-slave rule constraint-id=pgsql-reader-other id=pgsql-reader-other-rule score=-INFINITY pgsql-status ne HS:sync and pgsql-status ne PRI and pgsql-status ne HS:async
pcs cluster cib-push pgsql.xml
