package meta

import (
	"encoding/binary"
	"fmt"
)

// Names of extended attributes that are more than data.
const (
	// XattrACL is the attribute that holds who may do what with an inode, beyond
	// its mode. It is stored only when the mode cannot say the same. Setting it
	// sets the mode, and SetMode changes it.
	XattrACL = "system.posix_acl_access"
	// XattrDefaultACL is what a directory gives to what is made in it.
	XattrDefaultACL = "system.posix_acl_default"
	// XattrCapability goes when the bytes or the owner of a file change.
	XattrCapability = "security.capability"
)

// ACL is a POSIX access control list, in Linux's order: owner, users, group,
// groups, mask, others.
type ACL []ACLEntry

// ACLEntry is what one of them may do.
type ACLEntry struct {
	Tag  uint16
	Perm uint16 // read 4, write 2, execute 1
	ID   uint32 // of a user or group, else aclNoID
}

// Tags of entries.
const (
	ACLUserObj  = 0x01 // the owner
	ACLUser     = 0x02
	ACLGroupObj = 0x04 // the owning group
	ACLGroup    = 0x08
	ACLMask     = 0x10 // the most that users, groups and the owning group may do
	ACLOther    = 0x20
)

const (
	aclVersion     = 2 // of the encoding
	aclHeaderBytes = 4
	aclEntryBytes  = 8
	aclNoID        = 1<<32 - 1
)

// ParseACL reads the value of XattrACL or XattrDefaultACL as Linux writes it, and
// refuses what Linux refuses: another order, an owner, group or other that is missing
// or there twice, users or groups without a mask.
func ParseACL(b []byte) (ACL, error) {
	if len(b) < aclHeaderBytes || (len(b)-aclHeaderBytes)%aclEntryBytes != 0 {
		return nil, fmt.Errorf("ACL of %d bytes: want 4 and a multiple of 8", len(b))
	}
	if v := binary.LittleEndian.Uint32(b); v != aclVersion {
		return nil, fmt.Errorf("ACL of version %d: want %d", v, aclVersion)
	}
	a := make(ACL, 0, (len(b)-aclHeaderBytes)/aclEntryBytes)
	for b = b[aclHeaderBytes:]; len(b) > 0; b = b[aclEntryBytes:] {
		a = append(a, ACLEntry{Tag: binary.LittleEndian.Uint16(b), Perm: binary.LittleEndian.Uint16(b[2:]), ID: binary.LittleEndian.Uint32(b[4:])})
	}
	return a, a.validate()
}

func (a ACL) validate() error {
	last, count, named := uint16(0), map[uint16]int{}, false
	for _, e := range a {
		again := e.Tag == ACLUser || e.Tag == ACLGroup
		switch {
		case e.Perm > 7:
			return fmt.Errorf("ACL entry with permissions %o", e.Perm)
		case e.Tag == 0 || e.Tag&(e.Tag-1) != 0 || e.Tag > ACLOther:
			return fmt.Errorf("ACL entry with tag %d", e.Tag)
		case e.Tag < last, e.Tag == last && !again:
			return fmt.Errorf("ACL entry with tag %d after %d", e.Tag, last)
		case again && e.ID == aclNoID:
			return fmt.Errorf("ACL entry with tag %d for nobody", e.Tag)
		}
		last, named = e.Tag, named || again
		count[e.Tag]++
	}
	if count[ACLUserObj] != 1 || count[ACLGroupObj] != 1 || count[ACLOther] != 1 || named && count[ACLMask] != 1 {
		return fmt.Errorf("ACL with %d entries lacks one", len(a))
	}
	return nil
}

// AppendACL appends the encoded form of a to b.
func AppendACL(b []byte, a ACL) []byte {
	b = binary.LittleEndian.AppendUint32(b, aclVersion)
	for _, e := range a {
		b = binary.LittleEndian.AppendUint16(b, e.Tag)
		b = binary.LittleEndian.AppendUint16(b, e.Perm)
		b = binary.LittleEndian.AppendUint32(b, e.ID)
	}
	return b
}

// has reports whether there is an entry with a tag.
func (a ACL) has(tag uint16) bool {
	for _, e := range a {
		if e.Tag == tag {
			return true
		}
	}
	return false
}

// Extended reports whether the ACL says more than a mode can.
func (a ACL) Extended() bool { return a.has(ACLUser) || a.has(ACLGroup) || a.has(ACLMask) }

// classes calls f with each entry that stands for a class of the mode, and how far
// its bits are shifted there. A mask takes the place of the owning group.
func (a ACL) classes(f func(e *ACLEntry, shift int)) {
	group := uint16(ACLGroupObj)
	if a.has(ACLMask) {
		group = ACLMask
	}
	for i := range a {
		switch a[i].Tag {
		case ACLUserObj:
			f(&a[i], 6)
		case group:
			f(&a[i], 3)
		case ACLOther:
			f(&a[i], 0)
		}
	}
}

// Mode gives the nine permission bits that the ACL means.
func (a ACL) Mode() uint32 {
	mode := uint32(0)
	a.classes(func(e *ACLEntry, shift int) { mode |= uint32(e.Perm) << shift })
	return mode
}

// Masked gives the ACL of something that is made with a mode where a is the
// default: nobody gets more than both allow. Its Mode is the new one's.
func (a ACL) Masked(mode uint32) ACL {
	a = append(ACL(nil), a...)
	a.classes(func(e *ACLEntry, shift int) { e.Perm &= uint16(mode>>shift) & 7 })
	return a
}

// WithMode gives the ACL after a chmod.
func (a ACL) WithMode(mode uint32) ACL {
	a = append(ACL(nil), a...)
	a.classes(func(e *ACLEntry, shift int) { e.Perm = uint16(mode>>shift) & 7 })
	return a
}
