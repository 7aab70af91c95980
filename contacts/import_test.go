package contacts

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// said is what a report says of its rows, one word each.
func said(rep *Report) string {
	var all []string
	for _, row := range rep.Rows {
		s := fmt.Sprintf("%d:%s", row.Line, row.Outcome)
		if row.SameAs != 0 {
			s += fmt.Sprintf("=%d", row.SameAs)
		}
		for _, p := range row.Problems {
			s += "!" + p.Field
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func (r *rig) bring(file string, o Import) *Report {
	r.t.Helper()
	f, err := r.Read([]byte(file))
	if err != nil {
		r.t.Fatal(err)
	}
	rep, err := r.Import(ctx, f, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return rep
}

// What spreadsheets, Google and Outlook write, in every alphabet that they use.
func TestReadCSV(t *testing.T) {
	german := "Vorname;Nachname;Handy;Firma;E-Mail-Adresse;Gruppen\r\nJürgen;Größe;0170 1234567;Bäckerei;j@example.com;Kunden, Süd\r\n"
	wide := func(order unicode.Endianness, bom unicode.BOMPolicy) string {
		s, err := unicode.UTF16(order, bom).NewEncoder().String(german)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	windows, err := charmap.Windows1252.NewEncoder().String(german)
	if err != nil {
		t.Fatal(err)
	}
	const juergen = "Jürgen Größe|+491701234567|j@example.com|Bäckerei|Kunden,Süd"
	for name, c := range map[string]struct{ file, want string }{
		"UTF-8":            {german, juergen},
		"with a mark":      {"\ufeff" + german, juergen},
		"Windows-1252":     {windows, juergen},
		"UTF-16LE":         {wide(unicode.LittleEndian, unicode.UseBOM), juergen},
		"UTF-16BE":         {wide(unicode.BigEndian, unicode.UseBOM), juergen},
		"UTF-16 unmarked":  {wide(unicode.LittleEndian, unicode.IgnoreBOM), juergen},
		"tabs":             {strings.ReplaceAll(german, ";", "\t"), juergen},
		"Excel says it":    {"sep=;\r\n" + german, juergen},
		"any order":        {"phone,name\n+491701234567,Anna\n", "Anna|+491701234567|||"},
		"several numbers":  {"Name,Phone 1 - Type,Phone 1 - Value,Phone 2 - Value,Business Fax\nAnna,Mobile,+491701234567 ::: +491701234568,tel:+49-170-1234569;ext=1,+4930123456\n", "Anna|+491701234567 +491701234568 +491701234569|||"},
		"Google's labels":  {"First Name,Last Name,Organization Name,Labels,E-mail 1 - Value,Phone 1 - Value\nAnna,Berg,Club,* myContacts ::: Friends,a@example.com,'+491701234567\n", "Anna Berg|+491701234567|a@example.com|Club|Friends"},
		"Outlook":          {`"First Name","Middle Name","Last Name","Company","Mobile Phone","Other Fax","E-mail Address","Categories","Notes"` + "\r\n" + `"Anna","M","Berg","Club","+491701234567","","a@example.com","A;B","two` + "\r\n" + `lines"`, "Anna M Berg|+491701234567|a@example.com|Club|A,B"},
		"kept from Excel":  {"Name,Mobile\nAnna,\"=\"\"+491701234567\"\"\"\n", "Anna|+491701234567|||"},
		"only an employer": {"Company,Phone\nClub,+491701234567\n", "Club|+491701234567||Club|"},
		"nameless":         {"Telefonnummer\n\n+491701234567\n", "+491701234567|+491701234567|||"},
	} {
		f, err := ReadCSV([]byte(c.file), "DE")
		if err != nil || len(f.Rows) != 1 {
			t.Errorf("%s: %+v, %v", name, f, err)
			continue
		}
		row := f.Rows[0]
		got := strings.Join([]string{row.Contact.Name, strings.Join(row.Contact.Numbers, " "), row.Contact.Email, row.Contact.Organisation, strings.Join(row.Groups, ",")}, "|")
		if got != c.want || len(row.Wrong)+len(row.LeftOut) > 0 {
			t.Errorf("%s: %s, want %s (%v %v)", name, got, c.want, row.Wrong, row.LeftOut)
		}
	}
	for file, want := range map[string]string{"": "is empty", "Name,Street\nAnna,x\n": "no column of the first row", "a\x00b\x00": "no column", "PK\x03\x04\x00\x00x": "no table"} {
		_, err := ReadCSV([]byte(file), "DE")
		wantErr(t, err, want)
		if !Unreadable(err) {
			t.Errorf("%q is readable", file)
		}
	}
}

func TestRowsThatAreWrong(t *testing.T) {
	file := "name,phone,email,consent,consent date,other phone\n" +
		"Anna,0170x,,,,\n" + // 2
		"Bert,4.91701E+11,,,,\n" +
		"Carl,,,,,\n" +
		"Dora,+491701234567,nowhere,,,*100#\n" + // 5
		"Emil,+491701234568,,,2026-05-02,\n" +
		"Fred,112,,,,\n"
	f, err := ReadCSV([]byte(file), "DE")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range f.Rows {
		got = append(got, fmt.Sprintf("%d %v %v %s", row.Line, row.Wrong, row.LeftOut, row.Skipped))
	}
	for i, want := range []string{"“0170x” has the character", "rounded by a spreadsheet", "has no number", "[] [{number “*100#” has the character", "is empty, and has a date", "is a short code"} {
		if !strings.Contains(got[i], want) {
			t.Errorf("%s: want %q", got[i], want)
		}
	}
	if !strings.Contains(got[3], "“nowhere” is no e-mail address") {
		t.Error(got[3])
	}
}

func TestReadVCards(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"2.1 of an old phone": {"BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Gr=C3=B6=C3=9Fe;J=C3=BCr=\r\ngen;;;\r\nTEL;HOME;VOICE:030 1234567\r\nTEL;CELL;PREF:+49170/1234567\r\nTEL;WORK;FAX:+4930111111\r\nEND:VCARD\r\n",
			"Jürgen Größe|+491701234567 +49301234567||"},
		"2.1 in Latin-1": {"BEGIN:VCARD\nVERSION:2.1\nN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:M=FCller;Eva\nTEL;CELL:01701234567\nNOTE;ENCODING=QUOTED-PRINTABLE:a=0D=0A=\nb\nPHOTO;JPEG;ENCODING=BASE64:\n /9j/4AAQ\n AAAA\n\nEND:VCARD",
			"Eva Müller|+491701234567||"},
		"raw Latin-1": {"BEGIN:VCARD\nVERSION:3.0\nFN:M\xfcller\nTEL:01701234567\nEND:VCARD\n", "Müller|+491701234567||"},
		"3.0 of an iPhone": {"BEGIN:VCARD\nVERSION:3.0\nPRODID:-//Apple\nN:Berg;Anna;;;\nFN:Anna Be\n rg\nORG:Sports\\, Club;Board\nitem1.EMAIL;type=INTERNET;type=pref:a@example.com\nTEL;type=HOME;type=VOICE:+49 30 1234567\nitem2.TEL;type=\"CELL\",VOICE:+49\u00a0170\u00a01234567\nCATEGORIES:A,B\\,b\nEND:VCARD\n",
			"Anna Berg|+491701234567 +49301234567|a@example.com|Sports, Club"},
		"4.0":                 {"BEGIN:VCARD\nVERSION:4.0\nFN:Anna\nTEL;VALUE=uri;TYPE=\"voice,cell\";PREF=1:tel:+49-170-1234567\nLANG:de\nEND:VCARD\n", "Anna|+491701234567||"},
		"marks of direction":  {"BEGIN:VCARD\nVERSION:3.0\nFN:Anna\nTEL:\u202a+49 170 1234567\u202c\nEND:VCARD\n", "Anna|+491701234567||"},
		"words in small case": {"begin:vcard\nversion:3.0\nfn:Anna\ntel:+491701234567\nend:vcard\n", "Anna|+491701234567||"},
	} {
		f, err := ReadVCards([]byte(c.file), "DE")
		if err != nil || len(f.Rows) != 1 {
			t.Errorf("%s: %+v, %v", name, f, err)
			continue
		}
		row := f.Rows[0]
		got := strings.Join([]string{row.Contact.Name, strings.Join(row.Contact.Numbers, " "), row.Contact.Email, row.Contact.Organisation}, "|")
		if got != c.want || len(row.Wrong)+len(row.LeftOut) > 0 {
			t.Errorf("%s: %s, want %s (%v %v)", name, got, c.want, row.Wrong, row.LeftOut)
		}
	}
	for file, want := range map[string]string{"x": "has no vCard", "BEGIN:VCARD\nFN:x": "begins in line 1"} {
		_, err := ReadVCards([]byte(file), "DE")
		wantErr(t, err, want)
	}
}

func TestImport(t *testing.T) {
	r := newRig(t)
	anna := r.add("Anna", "+491701234567")
	r.add("Bert", "+491701234568")
	file := "name,number,number 2,email,groups,consent,consent at\n" +
		"Someone,01701234567,+491701234569,a@example.com,Club,,\n" + // 2: Anna
		"Carl,+491701234570,,,club;New,Form,2026-05-02\n" + // 3: new
		"C.,+491701234570,,c@example.com,,,\n" + // 4: the same as 3
		"Bert,+491701234568,,,,,\n" + // 5: says nothing new
		"Both,+491701234567,+491701234568,,,,\n" + // 6: of two contacts
		"Nobody,,,,,,\n" + // 7: without
		"Dora,0,,,,,\n" // 8: no number
	const want = "2:changed 3:new 4:changed=3 5:same 6:wrong!number 7:skipped!number 8:wrong!number"
	dry := r.bring(file, Import{Dry: true, Good: true})
	if got := said(dry); got != want || dry.Stored || !slices.Equal(dry.Groups, []string{"Club", "New"}) {
		t.Errorf("%s %v", got, dry.Groups)
	}
	if all := r.bring(file, Import{}); all.Stored || r.names(Of{}, Filter{}) != "Anna Bert" {
		t.Errorf("all or nothing: %+v", all)
	}
	rep := r.bring(file, Import{Good: true, By: "usr_a"})
	if got := said(rep); got != want || !rep.Stored {
		t.Errorf("%s, stored %v", got, rep.Stored)
	}
	c, err := r.Get(ctx, Of{}, anna.ID)
	if err != nil || c.Name != "Anna" || c.Email != "a@example.com" || !slices.Equal(c.Numbers, []string{"+491701234567", "+491701234569"}) || len(c.Groups) != 1 {
		t.Errorf("%+v %v", c, err)
	}
	if c, err = r.Find(ctx, Of{}, "+491701234570"); err != nil || c.Name != "Carl" || c.Email != "c@example.com" || len(c.Groups) != 2 || c.Consent == nil {
		t.Errorf("%+v %v", c, err)
	}
	if got := r.log(); len(got) != 1 || !strings.HasPrefix(got[0], "+491701234570 opt-in stated usr_a: Form") {
		t.Errorf("%q", got)
	}
	again := r.bring(file, Import{Good: true})
	if again.Counts[RowNew]+again.Counts[RowChanged] != 0 || len(again.Groups) != 0 {
		t.Errorf("the second time: %s", said(again))
	}
	r.bring("name,number,email\nAnna B.,+491701234567,new@example.com\n", Import{Replace: true})
	if c, err := r.Get(ctx, Of{}, anna.ID); err != nil || c.Name != "Anna B." || c.Email != "new@example.com" || len(c.Numbers) != 2 {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := r.Import(ctx, &File{}, Import{Group: "grp_x"}); err == nil {
		t.Error("a group that is not there")
	}
}

func TestGuarded(t *testing.T) {
	for in, want := range map[string]string{"": "", "anna": "anna", "=1": "'=1", "+1": "+1", "+1+1": "'+1+1", "-2": "'-2", "@x": "'@x", "\tx": "'\tx", "＝1": "'＝1", "1=1": "1=1",
		" =1": "' =1", "\n=1": "'\n=1", "%1": "'%1"} {
		if got := Guarded(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// What is written is read back as it was, and no cell is a formula.
func TestExportComesBack(t *testing.T) {
	r := newRig(t)
	names := []string{"=HYPERLINK(\"http://x\")", "+49170", "-1", "@SUM(A1)", "'=x", "''@", " =x", "Größe; \"Anna\", x", "<script>alert(1)</script>", "%0A", "a\\nb", "O'Hara", "＝1", strings.Repeat("ä", MaxName)}
	for i, name := range names {
		_, err := r.Create(ctx, "", Contact{Name: name, Numbers: []string{fmt.Sprintf("+4917012345%02d", i), fmt.Sprintf("+4917112345%02d", i)}, Note: name + "\nsecond; line\\", Organisation: name,
			Language: "de", Email: "a@example.com"})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, separator := range []rune{',', ';', '\t', 0} {
		var b bytes.Buffer
		write := func(c *Contact) error { return WriteVCard(&b, c) }
		if separator != 0 {
			w, err := NewCSVWriter(&b, separator, 2)
			if err != nil {
				t.Fatal(err)
			}
			write = func(c *Contact) error {
				err := w.Write(c)
				if err == nil {
					err = w.Flush()
				}
				return err
			}
		}
		var before []Contact
		if err := r.ByPiece(ctx, Of{}, Filter{}, func(page []Contact) error {
			before = append(before, page...)
			for i := range page {
				if err := write(&page[i]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		f, err := r.Read(b.Bytes())
		if err != nil || len(f.Rows) != len(names) {
			t.Fatalf("%v %+v", err, f)
		}
		for i, row := range f.Rows {
			was, is := before[i], row.Contact
			if is.Name != was.Name || !slices.Equal(is.Numbers, was.Numbers) || is.Note != was.Note || is.Organisation != was.Organisation || is.Language != "de" || is.Email != was.Email {
				t.Errorf("%q:\n%+v, want\n%+v", separator, is, was)
			}
		}
		if separator == 0 {
			for line := range strings.SplitSeq(b.String(), "\r\n") {
				if len(line) > 75 {
					t.Errorf("a line of %d bytes: %s", len(line), line)
				}
			}
			continue
		}
		for _, cell := range strings.FieldsFunc(b.String(), func(c rune) bool { return c == separator || c == '\n' || c == '"' }) {
			if cell = strings.TrimSpace(cell); strings.ContainsAny(cell[:min(1, len(cell))], "=-@") || strings.HasPrefix(cell, "+") && strings.Trim(cell, "+0123456789") != "" {
				t.Errorf("a spreadsheet computes %q", cell)
			}
		}
	}
}

// Ten thousand contacts are imported in seconds, and others write meanwhile.
func TestManyContacts(t *testing.T) {
	r := newRig(t)
	var b strings.Builder
	b.WriteString("name,phone,group\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "Number %d,0170%07d,%d\n", i, i+1_000_000, i%7)
	}
	start := time.Now()
	rep := r.bring(b.String(), Import{})
	t.Logf("10,000 contacts in %v", time.Since(start))
	if rep.Counts[RowNew] != 10_000 {
		t.Fatal(rep.Counts)
	}
	if took := time.Since(start); took > 30*time.Second { // some three here, with the race detector
		t.Errorf("it took %v", took)
	}
	if page, _, err := r.List(ctx, Of{}, Filter{Q: "9999"}); err != nil || len(page) != 1 {
		t.Errorf("%d found, %v", len(page), err)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"name,phone\nAnna,+491701234567\n", "sep=;\nname;phone\n\"a\n", "BEGIN:VCARD\nN;ENCODING=QUOTED-PRINTABLE:=C3=\n=B6\nTEL;CELL:1\nEND:VCARD\n", "\xff\xfeB\x00E\x00", "\ufeffBEGIN:VCARD",
		"BEGIN:VCARD\nitem1.TEL;TYPE=\"a:b\":1\n \\\nCATEGORIES:a,\\,\nEND:VCARD"} {
		f.Add([]byte(s))
	}
	c := &Contacts{o: Options{Region: func() string { return "DE" }, Now: time.Now}}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := c.Read(b)
		if err != nil {
			if !Unreadable(err) {
				t.Fatal(err)
			}
			return
		}
		for _, row := range file.Rows {
			if len(row.Wrong) > 0 || row.Skipped != "" {
				continue
			}
			one := row.Contact
			if err := c.check(&one); err != nil { // what is not refused can be stored as it is
				t.Fatalf("%+v: %v", row, err)
			}
			if one.Name != row.Contact.Name || one.Note != row.Contact.Note || !slices.Equal(one.Numbers, row.Contact.Numbers) {
				t.Fatalf("stored as %+v: %+v", one, row.Contact)
			}
			for _, write := range []func(*bytes.Buffer) error{
				func(w *bytes.Buffer) error { return WriteVCard(w, &one) },
				func(w *bytes.Buffer) error {
					table, err := NewCSVWriter(w, ',', MaxNumbers)
					if err == nil {
						err = table.Write(&one)
					}
					if err == nil {
						err = table.Flush()
					}
					return err
				},
			} {
				var w bytes.Buffer
				if err := write(&w); err != nil {
					t.Fatal(err)
				}
				back, err := c.Read(w.Bytes())
				if err != nil || len(back.Rows) != 1 {
					t.Fatalf("%v of %q", err, w.Bytes())
				}
				if got := back.Rows[0].Contact; got.Name != one.Name || !slices.Equal(got.Numbers, one.Numbers) {
					t.Fatalf("%q comes back as %+v, was %+v", w.Bytes(), got, one)
				}
			}
		}
	})
}
