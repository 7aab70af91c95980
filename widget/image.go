package widget

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // its first picture
	"image/jpeg"
	"image/png"
	"path"
	"strings"
	"time"

	"gatewayd/db"
)

// Image is a picture for widgets, without what is in it.
type Image struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Width     int       `json:"width"`
	Height    int       `json:"height"`
	Size      int       `json:"size"`
	URL       string    `json:"url"`
	CreatedAt time.Time `json:"created_at"`
}

// The limits of a picture. Decoded it takes four bytes for each pixel.
const (
	MaxImage   = 2 << 20 // bytes, as it is uploaded
	mostPixels = 4 << 20
	mostImages = 200
)

// AddImage keeps a picture: PNG, JPEG or GIF, whatever its name says. It is drawn
// anew, so nothing of the file that was uploaded is ever served: no place where it was
// taken, no program that hides in it.
func (w *Widgets) AddImage(ctx context.Context, name string, data []byte) (Image, error) {
	c := checker{}
	if name = path.Base(strings.ReplaceAll(name, `\`, "/")); name == "." || name == "/" {
		name = "image"
	}
	c.text("name", &name, 100, false)
	if len(data) > MaxImage {
		c.add("data", "are %d bytes; %d at most", len(data), MaxImage)
	}
	if err := c.err(); err != nil {
		return Image{}, err
	}
	kind, drawn, size, err := redraw(data)
	if err != nil {
		return Image{}, Wrong{{"data", err.Error()}}
	}
	sum := sha256.Sum256(drawn)
	one := Image{ID: hex.EncodeToString(sum[:10]), Name: name, Type: "image/" + kind, Width: size.X, Height: size.Y, Size: len(drawn), CreatedAt: w.o.Now().UTC().Truncate(time.Millisecond)}
	one.URL = imagePath(one.ID)
	err = w.o.DB.Write(func(tx *db.Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM widget_images`).Scan(&n); err != nil {
			return err
		}
		if n >= mostImages && !hasImage(tx)(one.ID) {
			return Wrong{{"data", fmt.Sprintf("can't be kept: there are %d images already; delete those that no widget has", n)}}
		}
		_, err := tx.Exec(`INSERT INTO widget_images (id, name, type, width, height, data, created_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			one.ID, one.Name, one.Type, one.Width, one.Height, drawn, one.CreatedAt.UnixMilli())
		return err
	})
	return one, err
}

// redraw decodes a picture and encodes it again.
func redraw(data []byte) (kind string, drawn []byte, size image.Point, err error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return "", nil, size, errors.New("are no PNG, JPEG or GIF image")
	}
	// Before it is decoded: a small file may claim to be a huge picture.
	if config.Width < 1 || config.Height < 1 || config.Width > mostPixels || config.Height > mostPixels || config.Width*config.Height > mostPixels {
		return "", nil, size, fmt.Errorf("show %d × %d pixels; %d million in all at most", config.Width, config.Height, mostPixels>>20)
	}
	picture, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return "", nil, size, fmt.Errorf("can't be decoded as %s", strings.ToUpper(format))
	}
	var b bytes.Buffer
	if format == "jpeg" {
		kind, err = "jpeg", jpeg.Encode(&b, picture, &jpeg.Options{Quality: 88})
	} else {
		kind, err = "png", (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, plainModel(picture))
	}
	return kind, b.Bytes(), picture.Bounds().Size(), err
}

// plainModel is the picture in a model that every browser draws.
func plainModel(p image.Image) image.Image {
	if p.ColorModel() != color.NRGBA64Model && p.ColorModel() != color.RGBA64Model {
		return p
	}
	flat := image.NewNRGBA(p.Bounds())
	for y := p.Bounds().Min.Y; y < p.Bounds().Max.Y; y++ {
		for x := p.Bounds().Min.X; x < p.Bounds().Max.X; x++ {
			flat.Set(x, y, p.At(x, y))
		}
	}
	return flat
}

// Images lists the pictures, newest first.
func (w *Widgets) Images(ctx context.Context) (all []Image, err error) {
	all = []Image{}
	err = w.o.DB.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT id, name, type, width, height, length(data), created_at FROM widget_images ORDER BY created_at DESC, id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var one Image
			var at int64
			if err := rows.Scan(&one.ID, &one.Name, &one.Type, &one.Width, &one.Height, &one.Size, &at); err != nil {
				return err
			}
			one.CreatedAt, one.URL = moment(at), imagePath(one.ID)
			all = append(all, one)
		}
		return rows.Err()
	})
	return all, err
}

// ErrInUse means that a widget has the picture that is to be deleted.
var ErrInUse = errors.New("a widget has it")

// DeleteImage removes a picture that no widget has now.
func (w *Widgets) DeleteImage(ctx context.Context, id string) error {
	return w.o.DB.Write(func(tx *db.Tx) error {
		var used int
		err := tx.QueryRow(`SELECT count(*) FROM widget_versions v LEFT JOIN widgets w ON w.id = v.widget WHERE instr(v.settings, ?) > 0
			AND v.version = coalesce(w.version, (SELECT max(version) FROM widget_versions WHERE widget = ''))`, `"`+id+`"`).Scan(&used)
		if err != nil {
			return err
		}
		if used > 0 {
			return ErrInUse
		}
		n, err := tx.Exec(`DELETE FROM widget_images WHERE id = ?`, id)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
}

func (w *Widgets) picture(ctx context.Context, id string) (kind string, data []byte, err error) {
	err = w.o.DB.Read(ctx, func(r db.Querier) error {
		err := r.QueryRow(`SELECT type, data FROM widget_images WHERE id = ?`, id).Scan(&kind, &data)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		return err
	})
	return kind, data, err
}

func imagePath(id string) string { return Prefix + "v1/image/" + id }

func hasImage(r db.Querier) func(id string) bool {
	return func(id string) bool {
		var n int
		return r.QueryRow(`SELECT count(*) FROM widget_images WHERE id = ?`, id).Scan(&n) == nil && n == 1
	}
}
