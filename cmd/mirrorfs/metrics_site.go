package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// siteTimeout bounds what one scrape asks of the site's Redis.
const siteTimeout = 3 * time.Second

// siteCollector exports where the metadata of a site stands, asked at each scrape: three round trips.
type siteCollector struct {
	engine *redis.Engine

	up, role, position, epoch     *prometheus.Desc
	usedBytes, usedInodes         *prometheus.Desc
	logRecords, logMemory         *prometheus.Desc
	orphans, freed                *prometheus.Desc
	redisUsed, redisMax, redisAOF *prometheus.Desc
	lag, seen, state              *prometheus.Desc
}

func newSiteCollector(e *redis.Engine, volume, site string) *siteCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("mirrorfs_site_"+name, help, labels, prometheus.Labels{"volume": volume, "site": site})
	}
	return &siteCollector{
		engine:     e,
		up:         desc("up", "1 if this site's Redis answers, 0 if it does not: then nothing else of the site is told."),
		role:       desc("role", "1 for the role that this site has: source, mirror or fenced.", "role"),
		position:   desc("position_seq", "Sequence number of the latest record at this site."),
		epoch:      desc("position_epoch", "Epoch of the latest record at this site."),
		usedBytes:  desc("used_bytes", "Bytes that the volume's files have, each rounded up to 4 KiB."),
		usedInodes: desc("used_inodes", "Files, directories and links of the volume."),
		logRecords: desc("log_records", "Records of the log that are in this site's Redis."),
		logMemory:  desc("log_memory_bytes", "About the memory of Redis that they take."),
		orphans:    desc("trash_inodes", "Deleted files, directories and links that are not purged yet."),
		freed:      desc("freed_changes", "Changes that freed data which is not reclaimed yet."),
		redisUsed:  desc("redis_used_bytes", "Memory that Redis uses, of all that it holds."),
		redisMax:   desc("redis_max_bytes", "Limit of that; 0 when there is none."),
		redisAOF:   desc("redis_aof_ok", "1 unless the last write of the append-only file failed."),
		lag:        desc("mirror_lag_records", "At the source, by mirror: records that it has not acknowledged.", "mirror"),
		seen:       desc("mirror_seen_timestamp_seconds", "At the source, by mirror: when its runner was heard of last.", "mirror"),
		state:      desc("mirror_state", "At the source, by mirror: 1 for the state that it told last.", "mirror", "state"),
	}
}

// Describe implements prometheus.Collector.
func (s *siteCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		s.up, s.role, s.position, s.epoch, s.usedBytes, s.usedInodes, s.logRecords, s.logMemory, s.orphans, s.freed,
		s.redisUsed, s.redisMax, s.redisAOF, s.lag, s.seen, s.state,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s *siteCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), siteTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	at, err := s.engine.State(ctx)
	sum, worse := s.engine.Summary(ctx)
	if err != nil || worse != nil {
		gauge(s.up, 0)
		return
	}
	gauge(s.up, 1)
	for _, role := range []string{"source", "mirror", "fenced"} {
		gauge(s.role, oneIf(roleName(at.Role) == role), role)
	}
	gauge(s.position, float64(at.Position.Seq))
	gauge(s.epoch, float64(at.Position.Epoch))
	gauge(s.usedBytes, float64(at.Usage.Bytes))
	gauge(s.usedInodes, float64(at.Usage.Inodes))
	gauge(s.logRecords, float64(sum.LogRecords))
	gauge(s.logMemory, float64(sum.LogMemory))
	gauge(s.orphans, float64(sum.Orphans))
	gauge(s.freed, float64(sum.Freed))
	gauge(s.redisUsed, float64(sum.Server.UsedBytes))
	gauge(s.redisMax, float64(sum.Server.MaxBytes))
	gauge(s.redisAOF, oneIf(sum.Server.LastAOFWrite == "" || sum.Server.LastAOFWrite == "ok"))
	if at.Role != meta.RoleSource {
		return
	}
	mirrors, err := s.engine.Mirrors(ctx)
	if err != nil {
		return
	}
	told := map[string]bool{} // a site may have taken over the name of one that is gone
	for i := range mirrors {
		m := &mirrors[i]
		if told[m.Name] {
			continue
		}
		told[m.Name] = true
		gauge(s.lag, float64(at.Position.Seq-min(m.Applied.Seq, at.Position.Seq)), m.Name)
		gauge(s.seen, float64(m.Seen.Unix()), m.Name)
		for _, state := range []string{mirror.StateBootstrapping, mirror.StateFollowing, mirror.StateStalled, mirror.StateFenced, mirror.StateSource} {
			gauge(s.state, oneIf(m.State == state), m.Name, state)
		}
	}
}

// oneIf is a truth as a gauge shows it.
func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
