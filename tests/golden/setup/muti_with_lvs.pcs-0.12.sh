pcs cluster cib pgsql.xml
pcs -f pgsql.xml property set stonith-enabled=false
pcs -f pgsql.xml resource create pgsql ocf:heartbeat:expgsql logfile=/var/log/postgresql/expgsql.log master_ip=192.168.0.236 'node_list=node1 node2 node3' passfile=/var/lib/postgresql/.pgpass pgctl=/usr/pgsql/bin/pg_ctl pgdata=/pgsql/data 'primary_conninfo_opt=keepalives_idle=60 keepalives_interval=5 keepalives_count=5' psql=/usr/pgsql/bin/psql rep_mode=sync repuser=replication op start interval=0s timeout=60s on-fail=restart op monitor interval=4s timeout=60s on-fail=restart op monitor interval=3s timeout=60s on-fail=restart role=Promoted op promote interval=0s timeout=60s on-fail=restart op demote interval=0s timeout=60s on-fail=restart op stop interval=0s timeout=60s on-fail=block op notify interval=0s timeout=60s
pcs -f pgsql.xml resource promotable pgsql msPostgresql meta clone-node-max=1 migration-threshold=3 notify=true promoted-max=1 promoted-node-max=1 resource-stickiness=10000
pcs -f pgsql.xml resource create vip-master ocf:heartbeat:IPaddr2 cidr_netmask=24 ip=192.168.0.236 nic=ens37 op start interval=0s timeout=60s on-fail=restart op monitor interval=10s timeout=60s on-fail=restart op stop interval=0s timeout=60s on-fail=block
pcs -f pgsql.xml resource create vip-slave ocf:heartbeat:IPaddr2 cidr_netmask=24 ip=192.168.0.237 nic=ens37 op start interval=0s timeout=60s on-fail=restart op monitor interval=10s timeout=60s on-fail=restart op stop interval=0s timeout=60s on-fail=block meta migration-threshold=3 resource-stickiness=1
pcs -f pgsql.xml resource create lvsdr ocf:heartbeat:lvsdr port=5432 realserver_dependent_attribute_name=pgsql-status 'realserver_dependent_attribute_value=HS:sync|HS:potential|HS:async' realserver_dependent_resource=lvsdr-realsvr-clone vip=192.168.0.237 'virtual_service_options=-s rr' op start interval=0s timeout=60s on-fail=restart op monitor interval=5s timeout=30s on-fail=restart op stop interval=0s timeout=60s on-fail=block
pcs -f pgsql.xml resource create lvsdr-realsvr ocf:heartbeat:lvsdr-realsvr nic_lo=lo:0 vip=192.168.0.237 op start interval=0s timeout=60s on-fail=restart op monitor interval=60s timeout=30s on-fail=restart op stop interval=0s timeout=60s on-fail=block
pcs -f pgsql.xml resource clone lvsdr-realsvr lvsdr-realsvr-clone meta clone-node-max=1 notify=false
pcs -f pgsql.xml resource group add master-group vip-master
pcs -f pgsql.xml resource meta master-group migration-threshold=3 resource-stickiness=10000
pcs -f pgsql.xml constraint colocation add master-group with Promoted msPostgresql score=INFINITY id=pgsql-writer-beside-primary
pcs -f pgsql.xml constraint order promote msPostgresql then start master-group kind=Mandatory symmetrical=false id=pgsql-promote-then-writer
pcs -f pgsql.xml constraint order demote msPostgresql then stop master-group kind=Optional symmetrical=false id=pgsql-demote-then-writer
pcs -f pgsql.xml constraint location vip-slave rule constraint-id=pgsql-reader-sync id=pgsql-reader-sync-rule score=200 'pgsql-status eq HS:sync'
pcs -f pgsql.xml constraint location vip-slave rule constraint-id=pgsql-reader-async id=pgsql-reader-async-rule score=100 'pgsql-status eq HS:async'
pcs -f pgsql.xml constraint location vip-slave rule constraint-id=pgsql-reader-unknown id=pgsql-reader-unknown-rule score=-INFINITY 'not_defined pgsql-status'
pcs -f pgsql.xml constraint location vip-slave rule constraint-id=pgsql-reader-other id=pgsql-reader-other-rule score=-INFINITY 'pgsql-status ne HS:sync and pgsql-status ne PRI and pgsql-status ne HS:async'
pcs -f pgsql.xml constraint colocation add lvsdr with vip-slave score=INFINITY id=pgsql-lvsdr-beside-reader
pcs -f pgsql.xml constraint colocation add lvsdr-realsvr-clone with Unpromoted msPostgresql score=INFINITY id=pgsql-realsvr-beside-standby
pcs -f pgsql.xml constraint order start lvsdr-realsvr-clone then start lvsdr kind=Optional symmetrical=false id=pgsql-realsvr-then-lvsdr
pcs -f pgsql.xml constraint order start lvsdr then start vip-slave kind=Optional symmetrical=false id=pgsql-lvsdr-then-reader
pcs cluster cib-push pgsql.xml
